"""The loss of one batch: scores by pairs and by value, letters where a head reads, each look through fresh noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from reward_zoo.devices import quick
from surrogate.config import DistillConfig
from surrogate.heads.reader import Reader
from surrogate.hindsight import Hindsight
from surrogate.losses import LOSSES
from surrogate.model import Surrogate
from surrogate.sampling import ConditioningTable, LabelledLatents
from surrogate.team import ALONE, Team


def surrogate_loss(
    surrogate: Surrogate,
    batch: LabelledLatents,
    table: ConditioningTable,
    config: DistillConfig,
    *,
    rng: torch.Generator,
    hindsight: Hindsight | None = None,
    model: nn.Module | None = None,
    team: Team = ALONE,
) -> torch.Tensor:
    """The sum of the configured losses on one batch, seen through fresh noise at random small times.

    With hindsight, the same losses are added over groups of one picture under its own and other prompts. Heads that read
    also learn what the reward perceived. In a team, `model` is the surrogate as `Team.prepare` gave it back; each process
    looks at its share of the batch, and the mean of their losses is the whole batch's.
    """
    count, device = len(batch), surrogate.device
    times = torch.randint(0, config.max_time, (count,), generator=rng)
    clean = surrogate.backbone.prepare(batch.latents)
    noise = torch.randn(clean.shape, generator=rng)
    moved = shifted(clean, config.max_shift, rng)
    again, prompts, scores = hindsight.draw(batch, rng) if hindsight else ([], [], [])
    pictures = torch.tensor([*range(count), *again])  # of each prediction
    shares = team.shares(count)
    places = [torch.nonzero(torch.isin(pictures, share))[:, 0] for share in shares]
    share, place = shares[team.rank], places[team.rank]
    more = [prompts[number - count] for number in place[len(share) :].tolist()]
    seen = (value[share].to(device) for value in (moved, times, noise))
    with quick(device, config.bf16):
        conditioning = table.told(surrogate, batch.groups[share], more)
        latents, *rest = seen
        looks, mine = (model or surrogate)(latents, conditioning, *rest, pictures[place] - share[0])
        perception = _perception(surrogate, looks, batch.rows(share), config.label_smoothing)
    predictions = team.together(mine, places).cpu()  # a few hundred numbers, compared where their labels are
    return perception * (team.count * len(share) / count) + _score_losses(
        surrogate, predictions, batch, pictures, scores, config
    )


def shifted(latents: torch.Tensor, most: int, rng: torch.Generator) -> torch.Tensor:
    """Each of B×C×h×w latents moved by up to `most` columns to the left or right; what comes in repeats the border."""
    if not most:
        return latents
    width = latents.shape[-1]
    places = torch.randint(0, 2 * most + 1, (len(latents),), generator=rng).tolist()
    padded = F.pad(latents, (most, most, 0, 0), mode="replicate")
    return torch.stack([row[..., place : place + width] for row, place in zip(padded, places, strict=True)])


def _score_losses(
    surrogate: Surrogate,
    predictions: torch.Tensor,
    batch: LabelledLatents,
    pictures: torch.Tensor,
    scores: list[float],
    config: DistillConfig,
) -> torch.Tensor:
    """Losses of predictions (parts×members×N) of the batch's rows and, behind them, of `pictures` seen again with `scores`."""
    count, total = len(batch), torch.zeros(())
    groups = batch.groups * (1 + int(batch.stages.max())) + batch.stages if config.stages_apart else batch.groups
    for number, part in enumerate(surrogate.parts):
        given = (batch.parts[:, number] - part.mean) / part.spread
        other = torch.cat([given, (torch.tensor(scores) - part.mean) / part.spread])
        for member in range(surrogate.members):
            found = predictions[number, member]
            mine = _of_member(batch.groups, member, surrogate.members)
            losses = [LOSSES[name](found[:count][mine], given[mine], groups[mine]) for name in config.losses]
            if scores:
                mine = mine[pictures]
                losses += [LOSSES[name](found[mine], other[mine], pictures[mine]) for name in config.losses]
            total = total + sum(losses) / surrogate.members
    return total


def _perception(
    surrogate: Surrogate, looks: list[torch.Tensor], batch: LabelledLatents, smoothing: float
) -> torch.Tensor | float:
    """Mean loss of the heads that read; 0 without one."""
    readers = [pair for pair in zip(surrogate.heads, looks, strict=True) if isinstance(pair[0], Reader)]
    losses = [head.perception_loss(look, batch.perceived, smoothing=smoothing) for head, look in readers]
    return sum(losses) / max(1, len(losses))


def _of_member(groups: torch.Tensor, member: int, members: int) -> torch.Tensor:
    """Rows that a member of an ensemble learns from: two thirds of the prompts, another third missing for each."""
    return torch.ones_like(groups, dtype=torch.bool) if members == 1 else (groups + member) % 3 != 0
