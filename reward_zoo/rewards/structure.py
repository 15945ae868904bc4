"""Rewards of structure. No weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.color import luma

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


class Sharpness(Reward):
    """Focus, as the variance of the Laplacian."""

    card = RewardCard(
        name="sharpness",
        summary="focus: variance of the Laplacian of luma",
        range=(0.0, 16.0),
        typical=(0.02, 0.02),
        differentiable=True,
        image_size="at least 3×3",
        source="variance of the 4-neighbour Laplacian (Pech-Pacheco et al., 2000), luma in [0, 1]",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 on flat images and straight ramps."""
        gray = luma(inputs.images)
        if min(gray.shape[1:]) < 3:
            return gray.new_full((len(gray),), float("nan"))
        centre = gray[:, 1:-1, 1:-1]
        around = gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]
        return (around - 4 * centre).flatten(1).var(-1, correction=0)


class EdgeDensity(Reward):
    """How much structure there is: the mean luma step between neighbours."""

    card = RewardCard(
        name="edge_density",
        summary="amount of structure: mean length of the luma gradient",
        range=(0.0, 2.0**0.5),
        typical=(0.05, 0.03),
        differentiable=True,
        image_size="at least 2×2",
        source="mean √(∂x² + ∂y²) of luma, forward differences",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 on a flat image."""
        gray = luma(inputs.images)
        if min(gray.shape[1:]) < 2:
            return gray.new_full((len(gray),), float("nan"))
        across = gray[:, :-1, 1:] - gray[:, :-1, :-1]
        down = gray[:, 1:, :-1] - gray[:, :-1, :-1]
        return (across.square() + down.square() + 1e-12).sqrt().mean((1, 2))


class Smoothness(Reward):
    """Minus the total variation: rewards calm surfaces, punishes noise."""

    card = RewardCard(
        name="smoothness",
        summary="minus the total variation: rewards calm surfaces, punishes noise",
        range=(-2.0, 0.0),
        typical=(-0.09, 0.05),
        differentiable=True,
        image_size="at least 2×2",
        source="-(mean |∂x| + mean |∂y|) over all channels (anisotropic total variation, Rudin, Osher and Fatemi, 1992)",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 on a flat image."""
        images = inputs.images
        if min(images.shape[-2:]) < 2:
            return images.new_full((len(images),), float("nan"))
        across = (images[..., 1:] - images[..., :-1]).abs().mean((1, 2, 3))
        down = (images[..., 1:, :] - images[..., :-1, :]).abs().mean((1, 2, 3))
        return -(across + down)
