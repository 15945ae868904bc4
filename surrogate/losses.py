"""What a surrogate is trained to do: pure functions of predictions and labels of one batch.

Every function takes predictions (B,) in normalised units, true scores (B,) and group ids (B,): only latents of one
group (one prompt) are compared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F


def pairs_within(groups: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices (winner, loser) of all pairs of one group whose scores differ; ties carry no order."""
    same = groups[:, None] == groups[None, :]
    return torch.nonzero(same & (scores[:, None] > scores[None, :]), as_tuple=True)


def bradley_terry_all(predictions: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """−log σ(p_winner − p_loser) over every pair, weighted by the gap of their true scores (Bradley & Terry 1952)."""
    winner, loser = pairs_within(groups, scores)
    if not len(winner):
        return predictions.sum() * 0
    gaps = scores[winner] - scores[loser]
    return (F.softplus(predictions[loser] - predictions[winner]) * gaps).sum() / gaps.sum()


def bradley_terry_extremes(predictions: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """−log σ(p_best − p_worst) of each group: LaSRO's loss (arXiv 2411.15247)."""
    losses = []
    for group in groups.unique():
        rows = torch.nonzero(groups == group)[:, 0]
        best, worst = rows[scores[rows].argmax()], rows[scores[rows].argmin()]
        if scores[best] > scores[worst]:
            losses.append(F.softplus(predictions[worst] - predictions[best]))
    return torch.stack(losses).mean() if losses else predictions.sum() * 0


def listwise(predictions: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """KL from softmax(scores) to softmax(predictions) in each group: ListNet's top-one loss (Cao et al. 2007)."""
    losses = []
    for group in groups.unique():
        mine = groups == group
        if scores[mine].min() < scores[mine].max():
            want = scores[mine].log_softmax(0)
            losses.append((want.exp() * (want - predictions[mine].log_softmax(0))).sum())
    return torch.stack(losses).mean() if losses else predictions.sum() * 0


def regression(predictions: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Squared error against the normalised scores: keeps how much better, not only which."""
    return F.mse_loss(predictions, scores)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "bradley-terry-all": bradley_terry_all,
    "bradley-terry-extremes": bradley_terry_extremes,
    "listwise": listwise,
    "regression": regression,
}
