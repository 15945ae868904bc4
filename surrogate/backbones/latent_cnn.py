"""A small convolutional network on latents that never sees the prompt.

Height is folded eight latent rows at a time and width is kept, as networks that read lines of text do (CRNN, Shi et al.
2015). Blindness is the point: what a backbone knows of the prompt it need not read off the picture, and a head that
matches what was read with what was asked for (heads/reader.py) is then fooled by hopes. Ten times cheaper than the UNet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from surrogate.backbones.base import Backbone, TimeEmbedding
from surrogate.types import TextConditioning

FOLD = 8


class ResidualBlock(nn.Module):
    """x + conv(conv(x)), normalised before each."""

    def __init__(self, channels: int, kernel: tuple[int, int], dropout: float) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, kernel, padding=padding),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv2d(channels, channels, kernel, padding=padding),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B×C×h×w → the same."""
        return x + self.layers(x)


class LatentCNN(Backbone):
    """One map of B×`width`×⌈h/8⌉×w."""

    kind = "latent-cnn"
    blind = True
    scale = 1  # of what is looked at, to latents

    def __init__(
        self,
        *,
        alphas_cumprod: torch.Tensor,
        in_channels: int,
        rows: int,
        stem: int = 64,
        width: int = 256,
        depth: int = 2,
        dropout: float = 0.1,
    ) -> None:
        sizes = {"in_channels": in_channels, "rows": rows, "stem": stem, "width": width}
        super().__init__(alphas_cumprod, **sizes, depth=depth, dropout=dropout)
        self.channels = [width]
        self.stem = nn.Sequential(nn.Conv2d(in_channels, stem, 3, padding=1), ResidualBlock(stem, (3, 3), dropout))
        self.fold = nn.Conv2d(stem, width, (FOLD, 1), stride=(FOLD, 1))
        self.time = TimeEmbedding(width)
        kernel = (3 if rows > FOLD else 1, 5)
        self.blocks = nn.Sequential(*(ResidualBlock(width, kernel, dropout) for _ in range(depth)))

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """See `Backbone.forward`; `conditioning` is not looked at."""
        return self.maps(self.noisy(latents, times, noise), times)

    def maps(self, seen: torch.Tensor, times: torch.Tensor) -> list[torch.Tensor]:
        """Those of what is looked at, B×C×(scale·h)×(scale·w)."""
        seen = F.pad(seen, (0, 0, 0, -seen.shape[2] % (FOLD * self.scale)))
        folded = self.fold(self.stem(seen))
        return [self.blocks(folded + self.time(times)[:, :, None, None].to(folded))]
