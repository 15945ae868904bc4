"""What passes between a generator, the labelled store and a surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class LatentSpace:
    """What two models must share to read each other's latents."""

    channels: int
    height: int
    width: int
    scaling_factor: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class TextConditioning:
    """What SDXL's UNet is told about B prompts: hidden states B×T×D, pooled embedding B×P, time ids B×6; and the prompts."""

    prompt_embeds: torch.Tensor
    pooled: torch.Tensor
    time_ids: torch.Tensor
    prompts: tuple[str, ...]

    def __getitem__(self, rows: Any) -> TextConditioning:  # noqa: ANN401 - whatever indexes a tensor
        prompts = tuple(self.prompts[row] for row in torch.arange(len(self))[rows].tolist())
        return TextConditioning(self.prompt_embeds[rows], self.pooled[rows], self.time_ids[rows], prompts)

    def __len__(self) -> int:
        return len(self.prompt_embeds)

    def neutral(self) -> TextConditioning:
        """The same without a word: zeros, as SDXL's own empty prompt."""
        zeros = (torch.zeros_like(self.prompt_embeds), torch.zeros_like(self.pooled))
        return TextConditioning(*zeros, self.time_ids, self.prompts)

    def to(self, device: torch.device | str) -> TextConditioning:
        """The same on a device."""
        return TextConditioning(self.prompt_embeds.to(device), self.pooled.to(device), self.time_ids.to(device), self.prompts)

    @staticmethod
    def of_words(prompts: Sequence[str]) -> TextConditioning:
        """Of prompts of which nothing but the words is known: for networks that look at no more."""
        nothing = torch.zeros(len(prompts), 0)
        return TextConditioning(nothing, nothing, nothing, tuple(prompts))

    def with_words(self, prompts: Sequence[str]) -> TextConditioning:
        """The same with more prompts, of which nothing but the words is known: for heads that look at no more."""
        return TextConditioning(self.prompt_embeds, self.pooled, self.time_ids, (*self.prompts, *prompts))

    @staticmethod
    def stack(items: Sequence[TextConditioning]) -> TextConditioning:
        """One conditioning of all items' rows, in order."""
        return TextConditioning(
            torch.cat([item.prompt_embeds for item in items]),
            torch.cat([item.pooled for item in items]),
            torch.cat([item.time_ids for item in items]),
            tuple(prompt for item in items for prompt in item.prompts),
        )


@dataclass(frozen=True)
class Rollout:
    """Samples by number of network calls: scaled latents B×4×h×w float32; 1, or 1 and 2, or 0 alone for real pictures."""

    prompts: list[str]
    seeds: list[int]
    stages: dict[int, torch.Tensor]

    @property
    def z1(self) -> torch.Tensor:
        """x0 after one call."""
        return self.stages[1]

    @property
    def z2(self) -> torch.Tensor:
        """x0 after two calls; KeyError for a one-step generator."""
        return self.stages[2]


class Generator(Protocol):
    """What labelling needs of a generator; `finetune.generators` has the real ones.

    What it gives lies on its device; what it takes may lie anywhere.
    """

    name: str
    num_steps: int  # network calls of its samples, 1 or 2: its rollouts hold the stages 1 to num_steps
    extra_steps: int  # network calls of further samples that are worth a label (`DistillConfig.extra_steps`); 0: none
    device: torch.device
    latent_space: LatentSpace
    unet: torch.nn.Module
    vae: torch.nn.Module
    alphas_cumprod: torch.Tensor
    prediction_type: str
    image_size: tuple[int, int]  # height, width

    def encode(self, prompts: Sequence[str]) -> TextConditioning:
        """Text conditioning of the prompts, one row each."""

    def encode_passing(self, prompts: Sequence[str]) -> TextConditioning:
        """The same, encoded together and kept nowhere."""

    def rollout(self, prompts: Sequence[str], seeds: Sequence[int], extra_steps: int = 0) -> Rollout:
        """Samples of 1 to `num_steps` and, if more, `extra_steps` calls, without gradient; row i is prompt i's and seed i's."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents → images B×3×H×W in [0, 1], without gradient."""

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Images B×3×H×W in [0, 1] of `image_size` → scaled latents, with gradient."""
