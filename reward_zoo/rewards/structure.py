"""Rewards of structure. No weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.reward import Reward, RewardInputs

if TYPE_CHECKING:
    import torch


class Symmetry(Reward):
    """Minus the mean difference between an image and its mirror image."""

    card = RewardCard(
        name="symmetry",
        summary="left-right mirror symmetry",
        range=(-1.0, 0.0),
        typical=(-0.2, 0.08),
        differentiable=True,
        source="-mean |x - flip(x)|",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 for a perfect mirror."""
        return -(inputs.images - inputs.images.flip(-1)).abs().mean((1, 2, 3))
