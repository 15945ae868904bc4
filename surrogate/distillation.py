"""Training a surrogate on a labelled store, stopped on held-out prompts before it over-fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from surrogate.building import build_surrogate, default_learning_rate
from surrogate.config import DistillConfig
from surrogate.errors import LabelError
from surrogate.fidelity import agreement
from surrogate.hindsight import Hindsight
from surrogate.losses import LOSSES
from surrogate.model import Surrogate
from surrogate.sampling import ConditioningTable, LabelledLatents, prompt_batches
from surrogate.seeding import stream
from surrogate.types import Generator

Report = Callable[[dict[str, Any]], None]
WARM_UP = 30  # steps


@dataclass(frozen=True)
class Distilled:
    """A trained surrogate with the held-out agreement of the step that was kept."""

    surrogate: Surrogate
    held_out: dict[str, Any]
    step: int


def surrogate_loss(
    surrogate: Surrogate,
    batch: LabelledLatents,
    table: ConditioningTable,
    config: DistillConfig,
    *,
    rng: torch.Generator,
    hindsight: Hindsight | None = None,
) -> torch.Tensor:
    """The sum of the configured losses on one batch, seen through fresh noise at random small times.

    With hindsight, the same losses are added over groups of one picture under its own and other prompts. Heads that read
    also learn what the reward perceived.
    """
    count, device = len(batch), batch.latents.device
    times = torch.randint(0, config.max_time, (count,), generator=rng).to(device)
    noise = torch.randn(batch.latents.shape, generator=rng).to(batch.latents)
    rows, prompts, scores = hindsight.draw(batch, rng) if hindsight else ([], [], [])
    pictures = torch.tensor([*range(count), *rows])
    conditioning = table.with_passing(batch.groups, prompts)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        if surrogate.blind:  # what is seen does not depend on the prompt: one look for all of them
            features = surrogate.features(batch.latents, conditioning[:count], times, noise)
            total = sum(_perception(surrogate, features, batch))
            predictions = surrogate.judge([feature[pictures] for feature in features], conditioning)
        else:
            predictions, total = surrogate(batch.latents[pictures], conditioning, times[pictures], noise[pictures]), 0.0
    groups = batch.groups * (1 + int(batch.stages.max())) + batch.stages if config.stages_apart else batch.groups
    for number, part in enumerate(surrogate.parts):
        given = (batch.parts[:, number] - part.mean) / part.spread
        other = torch.cat([given, (torch.tensor(scores) - part.mean) / part.spread])
        for member in range(surrogate.members):
            found = predictions[number, member]
            mine = _of_member(batch.groups, member, surrogate.members)
            losses = [LOSSES[name](found[:count][mine], given[mine], groups[mine]) for name in config.losses]
            if rows:
                losses += [LOSSES[name](found, other, pictures) for name in config.losses]
            total = total + sum(losses) / surrogate.members
    return total


def _perception(surrogate: Surrogate, features: list[torch.Tensor], batch: LabelledLatents) -> list[torch.Tensor]:
    readers = [head for head in surrogate.heads if head.kind == "reading"]
    return [head.perception_loss(head.read(features), batch.perceived) / len(readers) for head in readers]


def _of_member(groups: torch.Tensor, member: int, members: int) -> torch.Tensor:
    """Rows that a member of an ensemble learns from: two thirds of the prompts, another third missing for each."""
    return torch.ones_like(groups, dtype=torch.bool) if members == 1 else (groups + member) % 3 != 0


@torch.no_grad()
def predict(surrogate: Surrogate, data: LabelledLatents, table: ConditioningTable, *, batch_size: int = 96) -> torch.Tensor:
    """The surrogate's scores of all rows, (N,)."""
    surrogate.eval()
    parts = []
    for rows in torch.arange(len(data)).split(batch_size):
        with torch.autocast(data.latents.device.type, torch.bfloat16):
            parts.append(surrogate.score(data.latents[rows], table[data.groups[rows]]))
    return torch.cat(parts)


def held_out_agreement(surrogate: Surrogate, data: LabelledLatents, table: ConditioningTable, margin: float) -> dict[str, Any]:
    """`fidelity.agreement` of the surrogate on held-out rows."""
    predictions = predict(surrogate, data, table).cpu().numpy()
    return agreement(predictions, data.scores.numpy(), data.groups.numpy(), data.stages.numpy(), margin)


def train_surrogate(
    generator: Generator,
    training: LabelledLatents,
    held_out: LabelledLatents,
    config: DistillConfig,
    *,
    margin: float,
    hindsight: Hindsight | None = None,
    report: Report = lambda record: None,
) -> Distilled:
    """Train on `training`, keep the step that agrees best with `held_out`.

    Raises:
        LabelError: no pair of one prompt differs, so there is no order to learn.
        BackboneError: see `build_backbone`.
    """
    if not any(scores.max() > scores.min() for scores in _by_group(training)):
        raise LabelError("every prompt's samples have equal scores: no pair to learn from; use more noises or prompts")
    table = ConditioningTable(generator, training.prompts)
    surrogate = build_surrogate(generator, training, config)
    if config.compile:
        surrogate.backbone.compile()
    rate = config.learning_rate or default_learning_rate(surrogate)
    trained = surrogate.trained_parameters()
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=config.weight_decay)
    rng = stream(config.seed, "distill")
    batches = prompt_batches(training.groups, config.prompts_per_batch, rng, rows_per_prompt=config.rows_per_prompt)
    best, best_quality, waited = None, float("-inf"), 0
    for step in range(1, config.steps + 1):
        surrogate.train()
        for group in optimizer.param_groups:
            group["lr"] = rate * min(step / WARM_UP, 1 - 0.9 * step / config.steps)
        loss = surrogate_loss(surrogate, training.rows(next(batches)), table, config, rng=rng, hindsight=hindsight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        record = {"step": step, "steps": config.steps, "loss": loss.item()}
        if step % config.evaluate_every == 0 or step == config.steps:
            found = held_out_agreement(surrogate, held_out, table, margin)
            record |= {"accuracy": found["pairwise"]["accuracy"], "spearman": found["spearman"]}
            waited += 1
            if _quality(found) > best_quality:
                best_quality, waited = _quality(found), 0
                best = (found, step, {name: value.clone() for name, value in surrogate.state_dict().items()})
        report(record)
        if waited >= config.patience:
            break
    held, kept, state = best or (found, step, surrogate.state_dict())
    surrogate.load_state_dict(state)
    return Distilled(surrogate, held, kept)


def _by_group(data: LabelledLatents) -> list[torch.Tensor]:
    return [data.scores[data.groups == group] for group in data.groups.unique()]


def _quality(found: dict[str, Any]) -> float:
    numbers = [found["pairwise"]["accuracy"], found["spearman"]]
    known = [number for number in numbers if number == number]
    return sum(known) / len(known) if known else 0.0
