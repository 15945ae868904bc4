"""Learning to paint chosen latents: the loss that reward-weighted regression and best-of-N distillation share."""

from __future__ import annotations

import torch

from finetune.method import Workshop


def imitation_loss(
    shop: Workshop, noisy: torch.Tensor, time: int, groups: torch.Tensor, target: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted squared error of x0, seen in `noisy` (B×4×h×w) at `time`, against `target`, as a share of its variance."""
    device = shop.generator.device
    target, weights = target.to(device), weights.to(device)
    x0, _ = shop.generator.x0(noisy.to(device), time, shop.table[groups])
    return ((x0 - target).square().mean((1, 2, 3)) * weights).mean() / target.var()


def noised(shop: Workshop, latents: torch.Tensor, time: int, rng: torch.Generator) -> torch.Tensor:
    """√ᾱ·z + √(1 − ᾱ)·ε at a training time."""
    alpha = shop.generator.alphas_cumprod[time].cpu()
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * torch.randn(latents.shape, generator=rng)
