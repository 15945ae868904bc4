"""MPS: a preference model whose image tokens read only the words of the prompt that matter. Differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.errors import MissingWeightsError
from reward_zoo.models import frozen, tokenise
from reward_zoo.preprocessing import CLIP_MEAN, CLIP_STD, normalise, resize_and_crop
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip import CLIP_H, hub_weights
from reward_zoo.rewards.clip_models import TEXT_FILES, load_model, read_state, unit
from reward_zoo.scores import Scores
from reward_zoo.weights import weight_file, weight_folder

if TYPE_CHECKING:
    import torch
    from transformers import CLIPModel

MPS = "RE-N-Y/mpsv1"
CONDITION = (  # the published text for the overall preference; another text is another reward
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, instance, texture, "
    "quantity, attributes, position, number, location, word, things."
)


class Mps(Reward):
    """Multi-dimensional Preference Score, its weights for the overall preference."""

    card = RewardCard(
        name="mps",
        summary="which image would people prefer for this prompt (MHP, overall)",
        range=(float("-inf"), float("inf")),
        typical=(10.0, 3.0),
        differentiable=True,
        needs=("prompt",),
        image_size="any; shorter side to 224, middle square",
        prompt_token_limit=77,
        source="MPS (Zhang et al., 2024; Kwai-Kolors/MPS): exp(logit_scale)·cos of the prompt and an image token that has read "
        "its words; words count whose likeness to a list of qualities is over 0.01 of the likest's, as in training and in the "
        "imscore port (threshold=0.3: the authors' evaluation scripts). Loads the port's file; the authors' own is a pickle",
        license="Apache-2.0 (Kwai-Kolors/MPS); the port's weights name none of their own",
        weights=(hub_weights(MPS, "model.safetensors", 4_420_000_000), hub_weights(CLIP_H, "tokenizer.json", 2_220_000)),
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None, clip: str | None = None, threshold: float = 0.01) -> None:
        from transformers import CLIPConfig, CLIPTokenizerFast

        name = self.card.name
        file = weight_file(MPS, "model.safetensors", reward=name, given=weights)
        folder = weight_folder(CLIP_H, reward=name, given=clip, patterns=TEXT_FILES)
        self.tokenizer = load_model(CLIPTokenizerFast, folder, name)
        self.clip, self.cross = load_mps(file, load_model(CLIPConfig, folder, name), name)
        self.threshold = threshold

    def score(self, inputs: RewardInputs) -> Scores:
        """exp(logit_scale) · cos."""
        import torch

        self.clip.to(inputs.images.device)
        self.cross.to(inputs.images.device)
        with torch.no_grad():
            words, meaning, truncated = self._embed(inputs.prompts)
            wanted, _, _ = self._embed([CONDITION])
        likeness = (words @ wanted[0].T).amax(2)  # B×T
        visible = likeness / likeness.amax(1, keepdim=True) > self.threshold
        seen = self.cross(self._image_tokens(inputs.images), words, visible)[:, 0]
        cosine = (unit(seen) * unit(meaning)).sum(1)
        return Scores(values=self.clip.logit_scale.exp() * cosine, components={"prompt_truncated": truncated})

    def _embed(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Each token (B×T×D, padding too, as published), the whole text (B×D), and whether it was cut (B,)."""
        tokens, truncated = tokenise(self.tokenizer, texts, self.clip.config.text_config.max_position_embeddings)
        found = self.clip.text_model(input_ids=tokens["input_ids"].to(self.clip.device))
        project = self.clip.text_projection
        return project(found.last_hidden_state), project(found.pooler_output), truncated

    def _image_tokens(self, images: torch.Tensor) -> torch.Tensor:
        square = resize_and_crop(images, self.clip.config.vision_config.image_size, round_down=True)
        pixels = normalise(square, CLIP_MEAN, CLIP_STD)
        return self.clip.visual_projection(self.clip.vision_model(pixels).last_hidden_state)


def load_mps(file: Path, config: object, reward: str) -> tuple[CLIPModel, torch.nn.Module]:
    """CLIP (`mps.model.…`) and the cross model (`mps.cross_model.…`) out of one file.

    Raises:
        MissingWeightsError: the file lacks a part.
    """
    from transformers import CLIPModel

    from reward_zoo.rewards.mps_network import CrossModel

    try:
        state = read_state(file)
        clip, cross = (
            {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            for prefix in ("mps.model.", "mps.cross_model.")
        )
        towers = {key: value for key, value in clip.items() if not key.endswith("position_ids")}
        model, report = CLIPModel.from_pretrained(None, config=config, state_dict=towers, output_loading_info=True)
        if report["missing_keys"]:
            raise KeyError(min(report["missing_keys"]))
        return frozen(model), frozen(CrossModel(cross))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise MissingWeightsError(f"{reward}: {file} is not MPS's checkpoint ({reason})") from error
