"""The same small network as `latent-cnn`, and as blind, on decoded pictures.

A reward sees pictures. What the decoder makes of latents need not be learnt from labels if it is asked, and the labels go
further: numbers in docs/surrogates.md. The price is the decoder, in training once a latent, in use with its gradient.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from reward_zoo.devices import pictures_at_once, quick
from surrogate.backbones.base import config_of
from surrogate.backbones.latent_cnn import LatentCNN, ResidualBlock
from surrogate.backbones.pixel import decoded, decoder_of
from surrogate.types import TextConditioning

NOISE = 0.1  # standard deviation, in training, of pictures in [-1, 1]
MOVES = (1, 2)  # most pixels up or down, and to the left or right, that training moves them by


class PixelCNN(LatentCNN):
    """One map of B×`width`×⌈h/8⌉×w, for latents B×4×h×w that are decoded first, or pictures that `prepare` made.

    Args:
        vae: a diffusers `AutoencoderKL`; copied and frozen.
        rows: h.
    """

    kind = "pixel-cnn"
    idle = ("vae.",)
    prepares = True

    def __init__(self, *, alphas_cumprod: torch.Tensor, vae: nn.Module, rows: int, **sizes: Any) -> None:  # noqa: ANN401
        super().__init__(alphas_cumprod=alphas_cumprod, in_channels=3, rows=rows, **sizes)
        self.vae = decoder_of(vae)
        dropout, stem = self._settings["dropout"], self._settings["stem"]
        halvings = len(self.vae.config.block_out_channels) - 1
        self.scale = 2**halvings
        first, *widths = [*[48] * (halvings - 1), stem]
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, stride=(2, 1), padding=1), nn.SiLU()]
        layers += [nn.Conv2d(32, first, 3, stride=(1, 2), padding=1), ResidualBlock(first, (3, 3), dropout)]
        for before, after in pairwise([first, *widths]):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), ResidualBlock(after, (3, 3), dropout)]
        self.stem = nn.Sequential(*layers)

    def settings(self) -> dict[str, Any]:
        """Sizes, and the decoder's configuration."""
        sizes = super().settings()
        del sizes["in_channels"]  # always three
        return {**sizes, "vae": config_of(self.vae)}

    @torch.no_grad()
    def prepare(self, latents: torch.Tensor) -> torch.Tensor:
        """Clean latents → pictures B×3×H×W in [0, 255], uint8; pictures stay as they are."""
        if latents.dtype == torch.uint8:
            return latents
        device, size = self.alphas_cumprod.device, (self.scale * latents.shape[-2], self.scale * latents.shape[-1])
        with quick(device, True):
            parts = latents.to(device).split(pictures_at_once(device, *size))
            return torch.cat([(decoded(self.vae, part).float() * 255).round().to(torch.uint8) for part in parts])

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """See `Backbone.forward`. Noise is put on latents, and nobody is told; on pictures there is a little in training."""
        if latents.dtype == torch.uint8:
            pictures = latents.to(noise) / 127.5 - 1
            if self.training:
                pictures = moved(pictures) + NOISE * noise
        else:
            pictures = 2 * decoded(self.vae, self.noisy(latents, times, noise)) - 1
        return self.maps(pictures, torch.zeros_like(times))


def moved(pictures: torch.Tensor) -> torch.Tensor:
    """All by the same few pixels; what comes in repeats the border."""
    down, right = (int(torch.randint(0, 2 * most + 1, ())) for most in MOVES)
    height, width = pictures.shape[-2:]
    rows, columns = MOVES
    padded = F.pad(pictures, (columns, columns, rows, rows), mode="replicate")
    return padded[..., down : down + height, right : right + width]
