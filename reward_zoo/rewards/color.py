"""Rewards of colour and light. Differentiable, no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.reward import Reward, RewardInputs

if TYPE_CHECKING:
    import torch


def luma(images: torch.Tensor) -> torch.Tensor:
    """Rec. 601 luma of B×3×H×W in [0, 1]: B×H×W."""
    return 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]


class Brightness(Reward):
    """Mean luma; with a target, minus the distance to it."""

    card = RewardCard(
        name="brightness",
        summary="how light the image is; with target=0.6, how near it is to that",
        range=(-1.0, 1.0),
        typical=(0.45, 0.15),
        differentiable=True,
        source="mean of Rec. 601 luma, or -|mean - target|",
        license="Apache-2.0",
    )

    def __init__(self, *, target: float | None = None) -> None:
        self.target = target

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """Mean luma of each image."""
        mean = luma(inputs.images).mean((1, 2))
        return mean if self.target is None else -(mean - self.target).abs()
