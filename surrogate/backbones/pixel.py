"""A surrogate that looks at pixels: decode, then an image tower of timm. The rival the paper's ablation has.

The gradient passes through the VAE's decoder, which is what makes it slow and large; the decoder itself stays as it is.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from surrogate.backbones.base import Backbone, TimeEmbedding, config_of
from surrogate.types import TextConditioning


class PixelTower(Backbone):
    """Feature maps of a timm model on decoded latents, the prompt's pooled embedding added to each.

    Args:
        model: a timm name (or local-dir:PATH) whose model can answer with feature maps.
        vae: a diffusers `AutoencoderKL`; copied and frozen.
        text_width: width of the pooled text embedding.
        pretrained: fetch the tower's published weights (from the hub, or timm's cache).
        size: shorter side that pictures are enlarged to, if they are smaller.
    """

    kind = "pixel-timm"
    idle = ("vae.",)

    def __init__(
        self,
        *,
        alphas_cumprod: torch.Tensor,
        model: str,
        vae: nn.Module,
        text_width: int,
        pretrained: bool,
        size: int = 64,
    ) -> None:
        import timm

        super().__init__(alphas_cumprod, model=model, text_width=text_width, size=size)
        self.vae = decoder_of(vae)
        self.tower = timm.create_model(model, pretrained=pretrained, features_only=True)
        self.channels = list(self.tower.feature_info.channels())[-3:]
        self.size = size
        self.text = nn.ModuleList(nn.Linear(text_width, count) for count in self.channels)
        self.time = nn.ModuleList(TimeEmbedding(count) for count in self.channels)
        given = self.tower.pretrained_cfg if hasattr(self.tower, "pretrained_cfg") else {}
        for name, default in (("mean", (0.5, 0.5, 0.5)), ("std", (0.5, 0.5, 0.5))):
            self.register_buffer(name, torch.tensor(given.get(name, default))[:, None, None], persistent=False)

    def settings(self) -> dict[str, Any]:
        """The tower's name and the decoder's configuration."""
        return {**super().settings(), "vae": config_of(self.vae)}

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """See `Backbone.forward`."""
        pixels = decoded(self.vae, self.noisy(latents, times, noise))
        short = min(pixels.shape[-2:])
        if short < self.size:
            pixels = F.interpolate(pixels, scale_factor=self.size / short, mode="bilinear")
        maps = self.tower((pixels - self.mean) / self.std)[-len(self.channels) :]
        told = conditioning.pooled.to(latents)
        return [
            found + (text(told) + time(times))[:, :, None, None].to(found)
            for found, text, time in zip(maps, self.text, self.time, strict=True)
        ]


def decoder_of(vae: nn.Module) -> nn.Module:
    """A frozen copy of an autoencoder, without what encodes."""
    copy = deepcopy(vae).float().requires_grad_(False)
    copy.encoder = copy.quant_conv = None
    return copy


def decoded(vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Scaled latents → pictures B×3×H×W in [0, 1]."""
    return (vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
