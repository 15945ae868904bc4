"""`Scores`: what every reward answers."""

from __future__ import annotations

from collections.abc import Sequence
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

    def rows(self, start: int, stop: int) -> Scores:
        """Those of some of the images, in order."""
        parts = {name: part[start:stop] for name, part in self.components.items()}
        return Scores(self.values[start:stop], parts, self.perceived and self.perceived[start:stop])

    def spread_over(self, rows: Sequence[int], count: int) -> Scores:
        """The same as those of `rows` among `count` images, of which the others failed."""
        import torch

        def spread(part: torch.Tensor) -> torch.Tensor:
            wide = torch.full((count,), float("nan"))
            wide[list(rows)] = part.float().cpu()
            return wide

        read = dict(zip(rows, self.perceived, strict=True)) if self.perceived is not None else None
        perceived = None if read is None else [read.get(row, "") for row in range(count)]
        return Scores(spread(self.values), {name: spread(part) for name, part in self.components.items()}, perceived)

    @staticmethod
    def joined(parts: Sequence[Scores]) -> Scores:
        """Those of several batches as one, in order."""
        import torch

        names = dict.fromkeys(name for part in parts for name in part.components)
        missing = [torch.full((len(part),), float("nan")) for part in parts]
        return Scores(
            torch.cat([part.values for part in parts]),
            {
                name: torch.cat([part.components.get(name, nan) for part, nan in zip(parts, missing, strict=True)])
                for name in names
            },
            [text for part in parts for text in part.perceived] if all(part.perceived is not None for part in parts) else None,
        )
