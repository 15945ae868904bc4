"""The data-free anchor: a trust region around the frozen generator.

The distance is the mean squared difference of x0 to the frozen generator's x0 on the same input, as a share of x0's
variance. A fixed weight is no protection (a run can jump out of its reach within a few steps), so the weight follows
the distance: up while it is outside the band, down while inside. The band itself widens only while the surrogate is
right about fresh samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


def x0_distance(x0: torch.Tensor, frozen: torch.Tensor) -> torch.Tensor:
    """Mean squared difference over the frozen x0's variance; a scalar."""
    return (x0 - frozen).square().mean() / frozen.var()


@dataclass
class TrustRegion:
    """Holds the distance inside `band` by moving `weight`; `widen` moves the band up to `band_max`."""

    band: float
    band_max: float
    weight: float = 30.0
    rise: float = 1.25  # at most, in one step
    fall: float = 0.95
    smallest: float = 10.0
    largest: float = 2000.0

    def update(self, distance: float) -> None:
        """After a step that ended at `distance`."""
        factor = min(max((distance / self.band) ** 0.5, self.fall), self.rise)
        self.weight = min(max(self.weight * factor, self.smallest), self.largest)

    def widen(self, accuracy: float, *, trusted: float, factor: float = 1.04) -> None:
        """After an adaptation that found the surrogate `accuracy` right on samples it had not seen."""
        if accuracy >= trusted:
            self.band = min(self.band * factor, self.band_max)
