"""`Scores`: what every reward answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Scores:
    """One number an image, higher is better.

    `values` is (B,) float32, NaN where an item failed; `components` holds named parts of the score, each (B,);
    `perceived` what the reward read off each image (a string an image), where its card says it perceives something.
    """

    values: torch.Tensor
    components: dict[str, torch.Tensor] = field(default_factory=dict)
    perceived: list[str] | None = None

    @property
    def valid(self) -> torch.Tensor:
        """Mask of the items that have a score, (B,) bool."""
        return self.values.isfinite()

    def __len__(self) -> int:
        return len(self.values)
