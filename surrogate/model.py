"""`Surrogate`: backbone and head, a differentiable stand-in for the true reward in latent space."""

from __future__ import annotations

import torch
from torch import nn

from surrogate.backbones.sdxl import SDXLBackbone
from surrogate.head import ConvHead
from surrogate.types import LatentSpace, TextConditioning


class Surrogate(nn.Module):
    """Predicts the true reward of latents.

    `mean` and `spread` are those of the labels it was trained on: the head works in normalised units, `score` answers
    in the reward's own.
    """

    def __init__(
        self, backbone: SDXLBackbone, *, latent_space: LatentSpace, mean: float, spread: float, score_time: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ConvHead(backbone.channels)
        self.latent_space, self.mean, self.spread, self.score_time = latent_space, mean, spread, score_time

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Normalised scores (B,) of clean latents looked at through noise of level `times`; see `SDXLBackbone`."""
        return self.head(self.backbone(latents, conditioning, times, noise)).float()

    def score(
        self, latents: torch.Tensor, conditioning: TextConditioning, *, rng: torch.Generator | None = None
    ) -> torch.Tensor:
        """Scores (B,) in the reward's units, with gradient to the latents.

        With `rng`, the noise of the look is fresh; without, it is the same at every call and for every row.
        """
        if rng is None:
            noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0)).expand_as(latents)
        else:
            noise = torch.randn(latents.shape, generator=rng)
        times = torch.full((len(latents),), self.score_time, device=latents.device)
        return self(latents, conditioning, times, noise.to(latents)) * self.spread + self.mean
