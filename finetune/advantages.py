"""How good a sample is beside the others of its prompt: pure functions of scores."""

from __future__ import annotations

import torch


def within_prompt(scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Scores (B,) less the mean of their group's, over the spread of what is left in the whole batch."""
    centred = scores - group_means(scores, groups)
    return centred / centred.std(unbiased=False).clamp_min(1e-6)


def group_means(scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Of each row, the mean score of its group, (B,)."""
    _, place = groups.unique(return_inverse=True)
    totals = torch.zeros(int(place.max()) + 1).index_add(0, place, scores)
    counts = torch.zeros_like(totals).index_add(0, place, torch.ones_like(scores))
    return (totals / counts)[place]


def best_rows(scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """The row of the best score of each group that has a spread at all, in the order of the groups."""
    rows = []
    for group in groups.unique():
        mine = torch.nonzero(groups == group)[:, 0]
        if scores[mine].max() > scores[mine].min():
            rows.append(mine[scores[mine].argmax()])
    return torch.stack(rows) if rows else torch.zeros(0, dtype=torch.long)
