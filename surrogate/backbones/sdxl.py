"""An SDXL UNet as the surrogate's eyes.

`encoder` keeps `conv_in`, the down blocks and the mid block, as LaSRO does (arXiv 2411.15247); `full` keeps the up
path too, whose last stages see every latent position with the text already worked in, and adds the network's own
opinion of what the clean latent should be.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

import torch
from torch import nn

from surrogate.backbones.base import Backbone, config_of
from surrogate.types import TextConditioning

Depth = Literal["encoder", "full"]
UP_PATH = ("up_blocks", "conv_norm_out", "conv_act", "conv_out")


class SDXLBackbone(Backbone):
    """Feature maps of an SDXL-architecture UNet.

    Args:
        unet: a diffusers `UNet2DConditionModel` with text_time conditioning; copied, unless `owned`.
        depth: how much of it to keep.
        alphas_cumprod: the training noise schedule, (1000,).
        prediction_type: what the UNet predicts: epsilon, v_prediction or sample.
        stages: with `encoder`, stop after so many down stages; 0 keeps all and the mid block.
    """

    kind = "sdxl"

    def __init__(
        self,
        unet: nn.Module,
        *,
        depth: Depth,
        alphas_cumprod: torch.Tensor,
        prediction_type: str,
        stages: int = 0,
        owned: bool = False,
    ) -> None:
        super().__init__(alphas_cumprod)
        self.depth: Depth = depth
        self.stages, self.prediction_type = stages, prediction_type
        if owned:
            self.unet = unet
        else:
            self.unet = deepcopy(unet) if depth == "full" else _without_up_path(unet, stages)
        self.unet.float().requires_grad_(True)  # it is trained, whatever the generator's precision
        self.idle = ("unet.time_embedding.cond_proj.",)  # of the guidance that an LCM's UNet is told
        if stages:
            self.idle += (f"unet.down_blocks.{stages - 1}.downsamplers.",)
        widths = list(self.unet.config.block_out_channels)
        if depth == "full":
            self.channels = [widths[-1], *reversed(widths), 2 * self.unet.config.in_channels]
        else:
            self.channels = widths[:stages] if stages else [*widths, widths[-1]]

    def settings(self) -> dict[str, Any]:
        """The UNet's configuration and how much of it is there."""
        unet = config_of(self.unet)
        return {"depth": self.depth, "stages": self.stages, "prediction_type": self.prediction_type, "unet": unet}

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """See `Backbone.forward`."""
        noisy, unet = self.noisy(latents, times, noise), self.unet
        text = conditioning.prompt_embeds.to(latents)
        extra = {"text_embeds": conditioning.pooled.to(latents), "time_ids": conditioning.time_ids.to(latents)}
        emb = unet.time_embedding(unet.time_proj(times).to(latents.dtype))
        emb = emb + unet.get_aug_embed(emb=emb, encoder_hidden_states=text, added_cond_kwargs=extra)
        sample = unet.conv_in(noisy)
        skips: tuple[torch.Tensor, ...] = (sample,)
        features = []
        for block in unet.down_blocks:
            sample, states = block(sample, emb, **_text_argument(block, text))
            skips += states
            features.append(states[-1] if block.downsamplers is None else states[-2])
        if unet.mid_block is None:
            return features
        sample = unet.mid_block(sample, emb, **_text_argument(unet.mid_block, text))
        if self.depth == "encoder":
            return [*features, sample]
        return [sample, *self._up_path(sample, skips, emb, text, (latents, noisy, *self.levels(times)))]

    def _up_path(
        self,
        sample: torch.Tensor,
        skips: tuple[torch.Tensor, ...],
        emb: torch.Tensor,
        text: torch.Tensor,
        given: tuple[torch.Tensor, ...],
    ) -> list[torch.Tensor]:
        unet, features = self.unet, []
        for block in unet.up_blocks:
            count = len(block.resnets)
            size = skips[-count - 1].shape[-2:] if len(skips) > count else None
            sample = block(sample, skips[-count:], emb, upsample_size=size, **_text_argument(block, text))
            skips = skips[:-count]
            features.append(sample)
        hidden = unet.conv_act(unet.conv_norm_out(sample))
        latents, noisy, root, sigma = given
        output = unet.conv_out(hidden)
        if self.prediction_type == "epsilon":
            clean = (noisy - sigma * output) / root
        elif self.prediction_type == "v_prediction":
            clean = root * noisy - sigma * output
        else:
            clean = output
        return [*features, torch.cat([latents, clean - latents], dim=1)]


def strip_up_path(unet: nn.Module, stages: int = 0) -> None:
    """Take the up path off a UNet, and with `stages` what lies behind that many down stages."""
    for name in UP_PATH:
        delattr(unet, name)
    if stages:
        unet.down_blocks = unet.down_blocks[:stages]
        unet.mid_block = None


def _without_up_path(unet: nn.Module, stages: int) -> nn.Module:
    """A copy of the parts an encoder keeps; what it drops is never copied."""
    dropped = [getattr(unet, name) for name in UP_PATH]
    if stages:
        dropped += [*unet.down_blocks[stages:], unet.mid_block]
    copied = deepcopy(unet, {id(module): nn.Identity() for module in dropped})
    strip_up_path(copied, stages)
    return copied


def _text_argument(block: nn.Module, text: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
