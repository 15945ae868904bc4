"""The data-free anchor: a trust region around the frozen generator.

The distance is the mean squared difference of x0 to the frozen generator's x0 on the same input, as a share of x0's
variance. A fixed weight is no protection (a run can jump out of its reach within a few steps), and a weight that chases
the distance overshoots and undoes the climb. So the penalty is a wall: its slope grows with the square of the distance,
at once and without memory; only the wall's height is learnt, slowly, until the distance settles at the band's edge. The
band itself widens only while the surrogate is right about fresh samples, and faster where it hardly errs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


def x0_distance(x0: torch.Tensor, frozen: torch.Tensor) -> torch.Tensor:
    """Mean squared difference over the frozen x0's variance; a scalar."""
    return (x0 - frozen).square().mean() / frozen.var()


@dataclass
class TrustRegion:
    """Holds the distance near `band`; `widen` moves the band up to `band_max`."""

    band: float
    band_max: float
    weight: float = 12.0  # the penalty's slope at the band's edge
    pace: float = 0.04  # of the weight: a step at twice the band multiplies it by 2 ** pace
    smallest: float = 5.0
    largest: float = 500.0

    def penalty(self, distance: torch.Tensor) -> torch.Tensor:
        """Slope weight · (d / band)²: weight · d³ / (3 band²)."""
        return self.weight * distance**3 / (3 * self.band**2)

    def update(self, distance: float) -> None:
        """After a step that ended at `distance`; one that is not finite says nothing."""
        if not math.isfinite(distance):
            return
        factor = min(max(distance / self.band, 0.5), 2.0) ** self.pace
        self.weight = min(max(self.weight * factor, self.smallest), self.largest)

    def widen(self, accuracy: float, *, trusted: float, factor: float = 1.04) -> None:
        """After an adaptation that found the surrogate `accuracy` right on samples it had not seen.

        One that errs in fewer than a tenth of the pairs is followed faster: with half as many errors twice as fast, up to
        four times.
        """
        if accuracy >= trusted:
            speed = min(max(1.0, 0.1 / max(1 - accuracy, 1e-9)), 4.0)
            self.band = min(self.band * factor**speed, self.band_max)
