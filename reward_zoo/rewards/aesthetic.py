"""Aesthetic predictors: a small head on a frozen image embedding. Differentiable; no prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import MissingWeightsError
from reward_zoo.models import frozen
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip import CLIP_L, SIGLIP, hub_weights
from reward_zoo.rewards.clip_models import HubClip, HubSiglip, read_state
from reward_zoo.weights import address_file, place_by_hand, weight_file

if TYPE_CHECKING:
    import torch
    from torch import nn

HEAD = "trl-lib/ddpo-aesthetic-predictor"
HEAD_FILE = "aesthetic-model.pth"
HEAD_V25_FILE = "aesthetic_predictor_v2_5.pth"
HEAD_V25 = f"https://github.com/discus0434/aesthetic-predictor-v2-5/raw/main/models/{HEAD_V25_FILE}"


class Aesthetic(Reward):
    """LAION's aesthetic predictor ("improved", v2) on CLIP ViT-L/14."""

    card = RewardCard(
        name="aesthetic",
        summary="how beautiful, on a scale from 1 to 10 (LAION v2)",
        range=(float("-inf"), float("inf")),
        typical=(5.4, 0.7),
        differentiable=True,
        image_size="any; shorter side to 224, middle square",
        source="christophschuhmann/improved-aesthetic-predictor: five linear layers without activations on CLIP L/14",
        license="Apache-2.0 (head), MIT (CLIP)",
        weights=(
            hub_weights(CLIP_L, "model.safetensors", 1_710_000_000),
            hub_weights(HEAD, HEAD_FILE, 3_700_000),
        ),
    )

    def __init__(self, *, weights: str | None = None, head: str | None = None) -> None:
        file = weight_file(HEAD, HEAD_FILE, reward=self.card.name, given=head, option="head")
        self.model = HubClip(CLIP_L, reward=self.card.name, weights=weights)
        self.head = linear_head(file, (0, 2, 4, 6, 7), self.card.name)

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """About 1 to 10."""
        return self.head.to(inputs.images.device)(self.model.embed_images(inputs.images))[:, 0]


class AestheticV25(Reward):
    """The predictor v2.5 on SigLIP so400m; 5.5 and more is good."""

    card = RewardCard(
        name="aesthetic_v2_5",
        summary="how beautiful, on a scale from 1 to 10 (v2.5, also fair to illustrations)",
        range=(float("-inf"), float("inf")),
        typical=(4.5, 1.0),
        differentiable=True,
        image_size="any; squeezed to 384×384",
        source="discus0434/aesthetic-predictor-v2-5 on GitHub, its weights too: five linear layers on SigLIP's normalised "
        "pooled embedding; head rebuilt from its published description",
        license="AGPL-3.0 (head weights), Apache-2.0 (SigLIP)",
        weights=(
            hub_weights(SIGLIP, "model.safetensors", 3_510_000_000),
            Weights(HEAD_V25, HEAD_V25_FILE, 5_300_000, place_by_hand("", HEAD_V25_FILE)),
        ),
    )

    def __init__(self, *, weights: str | None = None, head: str | None = None) -> None:
        file = address_file(HEAD_V25, reward=self.card.name, given=head, option="head")
        self.model = HubSiglip(SIGLIP, reward=self.card.name, weights=weights)
        self.head = linear_head(file, (0, 2, 4, 6, 8), self.card.name)

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """About 1 to 10."""
        return self.head.to(inputs.images.device)(self.model.embed_images(inputs.images))[:, 0]


def linear_head(file: Path, numbers: tuple[int, ...], reward: str) -> nn.Module:
    """`linear_head_of` the state dict in a file.

    Raises:
        MissingWeightsError: the file is no such head.
    """
    try:
        return linear_head_of(read_state(file), numbers)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise MissingWeightsError(
            f"{reward}: head={file} is not this predictor's head ({reason}); layers {[*numbers]} expected"
        ) from error


def linear_head_of(state: dict[str, torch.Tensor], numbers: tuple[int, ...]) -> nn.Module:
    """The linear layers `ANYTHING.NUMBER.weight` and `.bias` of a state dict, chained; dropout is nothing when scoring.

    Raises:
        KeyError: a layer is missing.
    """
    import torch

    by_number = {tuple(key.rsplit(".", 2)[-2:]): value for key, value in state.items()}
    layers = []
    for number in map(str, numbers):
        weight, bias = by_number[number, "weight"], by_number[number, "bias"]
        layers.append(torch.nn.Linear(weight.shape[1], weight.shape[0]))
        layers[-1].load_state_dict({"weight": weight, "bias": bias})
    return frozen(torch.nn.Sequential(*layers))
