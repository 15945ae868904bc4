"""Bootstrap intervals: pure functions of arrays."""

from __future__ import annotations

import numpy as np


def paired_interval(before: np.ndarray, after: np.ndarray, *, draws: int = 5000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of mean(after − before) over items that are measured twice."""
    difference = np.asarray(after) - np.asarray(before)
    picks = np.random.default_rng(seed).integers(0, len(difference), (draws, len(difference)))
    low, high = np.quantile(difference[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)
