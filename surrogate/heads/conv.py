"""The plain head: feature maps → one score.

Every position is judged by the same small convolutional network and the judgements are averaged, so that what is
learnt about one letter (or face, or leaf) serves at every place.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from surrogate.types import TextConditioning


class ConvHead(nn.Module):
    """Project each feature map to `width` channels, bring them to the largest size, judge, average."""

    kind = "conv"

    def __init__(self, channels: list[int], *, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.norms = nn.ModuleList(nn.GroupNorm(min(8, count // 4), count) for count in channels)
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.judge = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU()
        )
        self.weight = nn.Conv2d(width, 1, 1)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def settings(self) -> dict[str, Any]:
        """What rebuilding it needs."""
        return {"kind": self.kind, "width": self.width}

    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """B×C×h×w maps of several sizes → scores (B,)."""
        size = max((feature.shape[-2:] for feature in features), key=lambda shape: shape[0] * shape[1])
        total = None
        for feature, norm, projection in zip(features, self.norms, self.projections, strict=True):
            mapped = projection(norm(feature))
            if mapped.shape[-2:] != size:
                mapped = F.interpolate(mapped, size=size, mode="bilinear")
            total = mapped if total is None else total + mapped
        judged = self.judge(total)  # B×width×h×w
        attention = self.weight(judged).flatten(2).softmax(-1)  # B×1×hw
        noticed = (judged.flatten(2) * attention).sum(-1)
        return self.out(torch.cat([judged.mean((2, 3)), noticed], dim=1))[:, 0]

    def rate(self, looks: torch.Tensor, conditioning: TextConditioning) -> torch.Tensor:
        """The scores as they are; the prompt is in the features already."""
        return looks
