"""How far a surrogate can be trusted: its order of images against the true reward's, on prompts never trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from surrogate.labelling import RewardMeter
from surrogate.types import Generator

BINS = 10  # of a calibration curve


def comparable_pairs(groups: np.ndarray, scores: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (better, worse) of all pairs of one group whose true scores are more than `margin` apart."""
    same = groups[:, None] == groups[None, :]
    return np.nonzero(same & (scores[:, None] - scores[None, :] > margin))


def pairwise_accuracy(predictions: np.ndarray, scores: np.ndarray, groups: np.ndarray, margin: float) -> float:
    """Share of comparable pairs that the predictions order rightly; a tied prediction counts half. NaN without pairs."""
    better, worse = comparable_pairs(groups, scores, margin)
    gaps = predictions[better] - predictions[worse]
    return float(np.where(gaps == 0, 0.5, gaps > 0).mean()) if len(gaps) else float("nan")


def bootstrap_accuracy(
    predictions: np.ndarray, scores: np.ndarray, groups: np.ndarray, margin: float, *, draws: int = 1000
) -> tuple[float, float]:
    """95 % interval of the pairwise accuracy, resampling groups (prompts), not pairs."""
    better, worse = comparable_pairs(groups, scores, margin)
    gaps = predictions[better] - predictions[worse]
    right = np.where(gaps == 0, 0.5, gaps > 0)
    names, where = np.unique(groups[better], return_inverse=True)
    if not len(names):
        return float("nan"), float("nan")
    hits = np.bincount(where, weights=right, minlength=len(names))
    counts = np.bincount(where, minlength=len(names))
    picks = np.random.default_rng(0).integers(0, len(names), (draws, len(names)))
    low, high = np.quantile(hits[picks].sum(1) / counts[picks].sum(1), [0.025, 0.975])
    return float(low), float(high)


def agreement(
    predictions: np.ndarray, scores: np.ndarray, groups: np.ndarray, stages: np.ndarray, margin: float
) -> dict[str, object]:
    """The fidelity numbers of one set of held-out latents, as JSON data."""
    low, high = bootstrap_accuracy(predictions, scores, groups, margin)
    return {
        "pairwise": {
            "accuracy": pairwise_accuracy(predictions, scores, groups, margin),
            "ci95": [low, high],
            "all_pairs": pairwise_accuracy(predictions, scores, groups, 0.0),
            "margin": margin,
            "pairs": len(comparable_pairs(groups, scores, margin)[0]),
        },
        "spearman": _correlation(spearmanr, predictions, scores),
        "kendall": _correlation(kendalltau, predictions, scores),
        "spearman_by_stage": {
            f"z{stage}": _correlation(spearmanr, predictions[stages == stage], scores[stages == stage])
            for stage in np.unique(stages).tolist()
        },
        "accuracy_by_stage": {
            f"z{stage}": pairwise_accuracy(*(part[stages == stage] for part in (predictions, scores, groups)), margin)
            for stage in np.unique(stages).tolist()
        },
        "calibration": calibration_curve(predictions, scores),
    }


def calibration_curve(predictions: np.ndarray, scores: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Mean prediction and mean true score of equally full bins, from the lowest prediction to the highest."""
    parts = np.array_split(np.argsort(predictions, kind="stable"), min(bins, len(predictions)))
    return [
        {"predicted": float(predictions[part].mean()), "true": float(scores[part].mean()), "count": len(part)} for part in parts
    ]


def _correlation(statistic: object, predictions: np.ndarray, scores: np.ndarray) -> float:
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(predictions) == 0:
        return float("nan")
    return float(statistic(predictions, scores).statistic)


@torch.no_grad()
def noise_ceiling(
    generator: Generator,
    meter: RewardMeter,
    latents: torch.Tensor,
    prompts: Sequence[str],
    scores: np.ndarray,
    groups: np.ndarray,
    margin: float,
    *,
    batch_size: int = 64,
) -> float:
    """The reward's agreement with itself on the same images shifted by a pixel: what no surrogate can pass."""
    again = []
    for start in range(0, len(latents), batch_size):
        images = generator.decode(latents[start : start + batch_size])
        again.append(meter(images.roll(1, dims=-1), prompts[start : start + batch_size]).values)
    return pairwise_accuracy(torch.cat(again).numpy(), scores, groups, margin)
