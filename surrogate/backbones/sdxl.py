"""An SDXL UNet as the surrogate's eyes.

`encoder` keeps `conv_in`, the down blocks and the mid block, as LaSRO does (arXiv 2411.15247); `full` keeps the up
path too, whose last stages see every latent position with the text already worked in, and adds the network's own
opinion of what the clean latent should be.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch
from torch import nn

from surrogate.types import TextConditioning

Depth = Literal["encoder", "full"]


class SDXLBackbone(nn.Module):
    """Feature maps of an SDXL-architecture UNet.

    Args:
        unet: a diffusers `UNet2DConditionModel` with text_time conditioning; copied.
        depth: how much of it to keep.
        alphas_cumprod: the training noise schedule, (1000,).
        prediction_type: what the UNet predicts: epsilon, v_prediction or sample.
    """

    def __init__(self, unet: nn.Module, *, depth: Depth, alphas_cumprod: torch.Tensor, prediction_type: str) -> None:
        super().__init__()
        self.unet = deepcopy(unet)
        self.depth: Depth = depth
        self.prediction_type = prediction_type
        self.register_buffer("alphas_cumprod", alphas_cumprod.clone().float(), persistent=False)
        if depth == "encoder":
            for name in ("up_blocks", "conv_norm_out", "conv_act", "conv_out"):
                delattr(self.unet, name)
        self.unet.requires_grad_(True)

    @property
    def channels(self) -> list[int]:
        """Channels of each feature map that `forward` answers with."""
        widths = list(self.unet.config.block_out_channels)
        if self.depth == "encoder":
            return [*widths, widths[-1]]
        return [widths[-1], *reversed(widths), 2 * self.unet.config.in_channels]

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """Feature maps for latents noised to `times`.

        Args:
            latents: clean scaled latents, B×4×h×w.
            conditioning: of B prompts.
            times: B training times in [0, 999].
            noise: standard normal, as `latents`.
        """
        root = self.alphas_cumprod[times].sqrt()[:, None, None, None]
        sigma = (1 - self.alphas_cumprod[times]).sqrt()[:, None, None, None]
        noisy = root * latents + sigma * noise
        unet = self.unet
        text = conditioning.prompt_embeds
        extra = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
        emb = unet.time_embedding(unet.time_proj(times).to(latents.dtype))
        emb = emb + unet.get_aug_embed(emb=emb, encoder_hidden_states=text, added_cond_kwargs=extra)
        sample = unet.conv_in(noisy)
        skips: tuple[torch.Tensor, ...] = (sample,)
        features = []
        for block in unet.down_blocks:
            sample, states = block(sample, emb, **_text_argument(block, text))
            skips += states
            features.append(states[-1] if block.downsamplers is None else states[-2])
        sample = unet.mid_block(sample, emb, encoder_hidden_states=text)
        if self.depth == "encoder":
            return [*features, sample]
        return [sample, *self._up_path(sample, skips, emb, text, (latents, noisy, root, sigma))]

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


def _text_argument(block: nn.Module, text: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
