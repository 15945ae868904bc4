"""Likeness to a reference image. Differentiable; the reference comes with the call (`references=`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import MissingWeightsError
from reward_zoo.models import frozen
from reward_zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, center_crop, normalise, resize, resize_shortest
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip import CLIP_L, hub_weights
from reward_zoo.rewards.clip_models import MODEL_FILES, HubClip, load_model, read_state, unit
from reward_zoo.weights import address_file, place_by_hand, weight_folder

if TYPE_CHECKING:
    import torch

DINO = "facebook/dinov2-base"
ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"


class ClipImageSimilarity(Reward):
    """Cosine of CLIP's embeddings of image and reference."""

    card = RewardCard(
        name="clip_image_similarity",
        summary="the same subject as the reference, by CLIP",
        range=(-1.0, 1.0),
        typical=(0.7, 0.12),
        differentiable=True,
        needs=("reference",),
        image_size="any; shorter side to 224, middle square",
        source="CLIP-I of DreamBooth (Ruiz et al., 2023)",
        license="MIT (code and weights of openai/CLIP)",
        weights=(hub_weights(CLIP_L, "model.safetensors", 1_710_000_000),),
    )

    def __init__(self, *, weights: str | None = None) -> None:
        self.model = HubClip(CLIP_L, reward=self.card.name, weights=weights)

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """1 for the reference itself."""
        return (self.model.embed_images(inputs.images) * self.model.embed_images(inputs.references)).sum(1)


class DinoSimilarity(Reward):
    """Cosine of DINOv2's class tokens of image and reference."""

    card = RewardCard(
        name="dino_similarity",
        summary="the same subject as the reference, by DINOv2",
        range=(-1.0, 1.0),
        typical=(0.5, 0.2),
        differentiable=True,
        needs=("reference",),
        image_size="any; shorter side to 256, middle 224×224",
        source="DINO score of DreamBooth (Ruiz et al., 2023), with DINOv2 (Oquab et al., 2023)",
        license="Apache-2.0",
        weights=(hub_weights(DINO, "model.safetensors", 346_000_000),),
    )

    def __init__(self, *, weights: str | None = None) -> None:
        from transformers import Dinov2Model

        folder = weight_folder(DINO, reward=self.card.name, given=weights, patterns=MODEL_FILES)
        self.model = frozen(load_model(Dinov2Model, folder, self.card.name))

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """1 for the reference itself."""
        return (self._embed(inputs.images) * self._embed(inputs.references)).sum(1)

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        self.model.to(images.device)
        pixels = center_crop(resize_shortest(images, 256), 224, round_down=True)
        return unit(self.model(normalise(pixels, IMAGENET_MEAN, IMAGENET_STD)).pooler_output)


class LpipsSimilarity(Reward):
    """Minus the LPIPS distance to the reference."""

    card = RewardCard(
        name="lpips_similarity",
        summary="looks like the reference: minus the LPIPS distance",
        range=(float("-inf"), 0.0),
        typical=(-0.6, 0.15),
        differentiable=True,
        needs=("reference",),
        image_size="as it is, but at least 64×64; the reference is brought to the image's size",
        source="LPIPS (Zhang et al., 2018), AlexNet, v0.1",
        license="BSD-2-Clause (lpips), BSD-3-Clause (torchvision)",
        weights=(Weights(ALEXNET, Path(ALEXNET).name, 244_000_000, place_by_hand("", Path(ALEXNET).name)),),
        requires=("lpips",),
        extra="iqa",
    )

    def __init__(self, *, weights: str | None = None) -> None:
        try:
            import lpips
        except ImportError as error:
            raise MissingWeightsError('lpips_similarity: the package lpips is missing; pip install "lasro[iqa]"') from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lpips asks torchvision in an old way
            self.model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)  # the backbone is filled in below
        file = address_file(ALEXNET, reward=self.card.name, given=weights)
        fill_alexnet(self.model.net, file, self.card.name)
        frozen(self.model)

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 for the reference itself."""
        images = inputs.images
        height, width = (max(64, side) for side in images.shape[-2:])
        self.model.to(images.device)
        pair = [resize(part, height, width, mode="bilinear") for part in (images, inputs.references)]
        return -self.model(*pair, normalize=True).flatten()


def fill_alexnet(net: torch.nn.Module, file: Path, reward: str) -> None:
    """Put torchvision's AlexNet features into lpips' slices, whose layers keep torchvision's numbers.

    Raises:
        MissingWeightsError: the file is no AlexNet of torchvision.
    """
    wanted = {key: ".".join(["features", *key.split(".")[-2:]]) for key in net.state_dict() if key.startswith("slice")}
    try:
        state = read_state(file)
        net.load_state_dict({key: state[name] for key, name in wanted.items()}, strict=False)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise MissingWeightsError(f"{reward}: weights={file} is not torchvision's AlexNet ({reason})") from error
