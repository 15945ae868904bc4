"""S[·]: LaSRO's normalise-and-clip of surrogate scores (arXiv 2411.15247)."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class NormaliseAndClip:
    """Scores by running mean and spread, clipped where there is nothing to gain.

    That is `ceiling` spreads above the mean, and the reward's own `highest` score: a surrogate that promises more is wrong. The
    spread is never less than that of the first scores: where all have come to be alike, the last differences mean little.
    """

    mean: float = 0.0
    spread: float = 1.0
    least_spread: float = 1e-6
    seen: int = 0
    momentum: float = 0.95
    ceiling: float = 3.0
    highest: float = float("inf")

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """(B,) scores → (B,) objective; updates the running statistics, unless a score is not finite."""
        if scores.isfinite().all():
            self._see(scores.detach())
        scores = scores.clamp(max=self.highest)
        return ((scores - self.mean) / max(self.spread, self.least_spread)).clamp(max=self.ceiling)

    def _see(self, scores: torch.Tensor) -> None:
        mean, spread = scores.mean().item(), scores.std(unbiased=False).item()
        keep = min(self.momentum, self.seen / (self.seen + 1))
        self.mean = keep * self.mean + (1 - keep) * mean
        self.spread = keep * self.spread + (1 - keep) * spread
        if not self.seen:
            self.least_spread = max(spread, self.least_spread)
        self.seen += 1
