"""A small vision transformer on latents, with the prompt's tokens beside the patches.

The kind of proxy that RG-LCD trains (arXiv 2403.11027), without its pre-training: a rival of the SDXL backbone, and what a
surrogate costs when there is no UNet to start from.
"""

from __future__ import annotations

import torch
from torch import nn

from surrogate.backbones.base import Backbone, TimeEmbedding
from surrogate.types import TextConditioning


class LatentViT(Backbone):
    """Maps of B×`width`×(h/patch)×(w/patch) from its middle and its last layer."""

    kind = "latent-vit"

    def __init__(
        self,
        *,
        alphas_cumprod: torch.Tensor,
        in_channels: int,
        height: int,
        width: int,
        text_width: int,
        patch: int = 2,
        dim: int = 192,
        depth: int = 6,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        given = {"in_channels": in_channels, "height": height, "width": width, "text_width": text_width}
        sizes = {"patch": patch, "dim": dim, "depth": depth, "heads": heads}
        super().__init__(alphas_cumprod, **given, **sizes, dropout=dropout)
        self.patch, self.channels = patch, [dim, dim]
        self.embed = nn.Conv2d(in_channels, dim, patch, stride=patch)
        self.place = nn.Parameter(torch.randn(1, dim, height // patch, width // patch) * 0.02)
        self.time, self.text = TimeEmbedding(dim), nn.Linear(text_width, dim)
        layer = {"nhead": heads, "dim_feedforward": 4 * dim, "dropout": dropout, "activation": "gelu"}
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, **layer, batch_first=True, norm_first=True) for _ in range(depth)
        )

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """See `Backbone.forward`."""
        patches = self.embed(self.noisy(latents, times, noise))
        size = patches.shape[-2:]
        place = self.place if size == self.place.shape[-2:] else nn.functional.interpolate(self.place, size, mode="bilinear")
        patches = (patches + place).flatten(2).transpose(1, 2) + self.time(times)[:, None]
        tokens = torch.cat([patches, self.text(conditioning.prompt_embeds.to(patches))], dim=1)
        count, maps = patches.shape[1], []
        for number, layer in enumerate(self.layers, 1):
            tokens = layer(tokens)
            if number in (len(self.layers) // 2, len(self.layers)):
                maps.append(tokens[:, :count].transpose(1, 2).unflatten(2, size))
        return maps
