"""LRM-XL: the latent reward model of Zhang et al. (arXiv 2502.01051), as published in casiatao/LRM.

Its folder holds `unet/` (an SDXL UNet in diffusers' layout, run without its up blocks) and `state_dict.pt` with
`visual_projection.weight` (1280×3520, no bias) and `logit_scale`. The score is exp(logit_scale)·cos(image, text): the last
feature of each down stage and of the mid block, averaged over positions and projected, against the pooled text embedding.
The mid feature is moved away from an empty prompt's (their visual feature enhancement, guidance 7.5). LRM tuned its text
encoders too; here those of the generator speak, so a published LRM is an initialisation to distil on, not the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from surrogate.backbones.checkpoints import load_unet
from surrogate.backbones.sdxl import SDXLBackbone
from surrogate.errors import BackboneError
from surrogate.types import TextConditioning

GUIDANCE = 7.5


class LRMBackbone(SDXLBackbone):
    """The encoder, with the mid feature enhanced.

    Args:
        empty: conditioning of the empty prompt, one row; or its shapes, where the weights will be loaded.
        projection: LRM's visual projection, to start the head from.
    """

    kind = "lrm-xl"

    def __init__(
        self,
        unet: nn.Module,
        *,
        alphas_cumprod: torch.Tensor,
        prediction_type: str,
        empty: TextConditioning | None = None,
        shapes: tuple[list[int], list[int]] | None = None,
        projection: torch.Tensor | None = None,
        logit_scale: float = 2.6592,
        owned: bool = False,
    ) -> None:
        schedule = {"alphas_cumprod": alphas_cumprod, "prediction_type": prediction_type}
        super().__init__(unet, depth="encoder", **schedule, owned=owned)
        given = (empty.prompt_embeds, empty.pooled) if empty is not None else [torch.zeros(shape) for shape in shapes]
        self.register_buffer("empty_embeds", given[0].clone())
        self.register_buffer("empty_pooled", given[1].clone())
        self.projection, self.logit_scale = projection, logit_scale

    @classmethod
    def from_folder(
        cls, folder: str, *, alphas_cumprod: torch.Tensor, prediction_type: str, empty: TextConditioning
    ) -> LRMBackbone:
        """The published layout.

        Raises:
            BackboneError: a file is missing, or the projection does not fit the UNet.
        """
        unet = load_unet(folder, depth="encoder")
        path = Path(folder) / "state_dict.pt"
        if not path.is_file():
            raise BackboneError(f"--backbone lrm-xl:{folder}: state_dict.pt is missing; give a folder of casiatao/LRM")
        state = torch.load(path, weights_only=True, map_location="cpu")
        projection = state["visual_projection"]["weight"].float()
        scale = float(state["logit_scale"])
        widths = sum(unet.config.block_out_channels) + unet.config.block_out_channels[-1]
        if projection.shape != (empty.pooled.shape[1], widths):
            raise BackboneError(
                f"--backbone lrm-xl:{folder}: visual_projection is {tuple(projection.shape)}, "
                f"this UNet and these text encoders need {(empty.pooled.shape[1], widths)}"
            )
        return cls(
            unet,
            owned=True,
            alphas_cumprod=alphas_cumprod,
            prediction_type=prediction_type,
            empty=empty,
            projection=projection,
            logit_scale=scale,
        )

    def settings(self) -> dict[str, Any]:
        """Those of the encoder, and the shapes of the empty prompt's conditioning."""
        shapes = [list(self.empty_embeds.shape), list(self.empty_pooled.shape)]
        given = super().settings()
        return {"prediction_type": given["prediction_type"], "unet": given["unet"], "shapes": shapes}

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """See `Backbone.forward`; two passes, one without the prompt."""
        count = len(latents)
        embeds, pooled = self.empty_embeds.expand(count, -1, -1), self.empty_pooled.expand(count, -1)
        empty = TextConditioning(embeds, pooled, conditioning.time_ids, conditioning.prompts)
        *down, told = super().forward(latents, conditioning, times, noise)
        untold = super().forward(latents, empty, times, noise)[-1]
        return [*down, untold + GUIDANCE * (told - untold)]


class MatchHead(nn.Module):
    """Pooled features, projected, against the pooled text: exp(logit_scale)·cos."""

    kind = "match"

    def __init__(self, channels: list[int], *, text_width: int, logit_scale: float = 2.6592) -> None:
        super().__init__()
        self.text_width = text_width
        self.visual_projection = nn.Linear(sum(channels), text_width, bias=False)
        nn.init.normal_(self.visual_projection.weight, std=0.02)
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale))
        self.offset = nn.Parameter(torch.zeros(()))  # LRM's scores have no zero; normalised labels do

    def settings(self) -> dict[str, Any]:
        """What rebuilding it needs."""
        return {"kind": self.kind, "text_width": self.text_width}

    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The projected features, B×text_width, each of length 1."""
        pooled = torch.cat([feature.mean((2, 3)) for feature in features], dim=1)
        return F.normalize(self.visual_projection(pooled).float(), dim=1)

    def rate(self, looks: torch.Tensor, conditioning: TextConditioning) -> torch.Tensor:
        """Scores (B,)."""
        text = F.normalize(conditioning.pooled.to(looks), dim=1)
        return self.logit_scale.exp() * (looks * text).sum(1) + self.offset
