"""Training a surrogate on a labelled store, stopped on held-out prompts before it over-fits."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from surrogate.backbones.sdxl import SDXLBackbone
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


@dataclass(frozen=True)
class Distilled:
    """A trained surrogate with the held-out agreement of the step that was kept."""

    surrogate: Surrogate
    held_out: dict[str, Any]
    step: int


def build_surrogate(generator: Generator, data: LabelledLatents, config: DistillConfig) -> Surrogate:
    """An untrained surrogate on the generator's own UNet, normalised to the labels' mean and spread."""
    torch.manual_seed(config.seed)  # the head's initial weights
    backbone = SDXLBackbone(
        generator.unet,
        depth=config.depth,
        alphas_cumprod=generator.alphas_cumprod,
        prediction_type=generator.prediction_type,
    )
    surrogate = Surrogate(
        backbone,
        latent_space=generator.latent_space,
        mean=data.scores.mean().item(),
        spread=data.scores.std().item(),
        score_time=config.score_time,
    )
    return surrogate.to(memory_format=torch.channels_last)


def surrogate_loss(
    surrogate: Surrogate,
    batch: LabelledLatents,
    table: ConditioningTable,
    losses: tuple[str, ...],
    *,
    max_time: int,
    rng: torch.Generator,
    hindsight: Hindsight | None = None,
) -> torch.Tensor:
    """The sum of the named losses on one batch, seen through fresh noise at random small times.

    With hindsight, the same losses are added over groups of one picture under its own and other prompts.
    """
    count = len(batch)
    times = torch.randint(0, max_time, (count,), generator=rng)
    noise = torch.randn(batch.latents.shape, generator=rng)
    rows, prompts, scores = hindsight.draw(batch, rng) if hindsight else ([], [], [])
    pictures = torch.tensor([*range(count), *rows])
    conditioning = table.with_passing(batch.groups, prompts)
    with torch.autocast(batch.latents.device.type, torch.bfloat16):
        predictions = surrogate(batch.latents[pictures], conditioning, times[pictures], noise[pictures])
    normalised = (torch.cat([batch.scores, torch.tensor(scores)]) - surrogate.mean) / surrogate.spread
    loss = sum(LOSSES[name](predictions[:count], normalised[:count], batch.groups) for name in losses)
    return loss + sum(LOSSES[name](predictions, normalised, pictures) for name in losses) if rows else loss


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
    predictions = predict(surrogate, data, table).numpy()
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
    """
    if not any(scores.max() > scores.min() for scores in _by_group(training)):
        raise LabelError("every prompt's samples have equal scores: no pair to learn from; use more noises or prompts")
    table = ConditioningTable(generator, training.prompts)
    surrogate = build_surrogate(generator, training, config)
    optimizer = torch.optim.AdamW(surrogate.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    rng = stream(config.seed, "distill")
    batches = prompt_batches(training.groups, config.prompts_per_batch, rng)
    best, best_quality, waited = None, float("-inf"), 0
    for step in range(1, config.steps + 1):
        surrogate.train()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(step / 30, 1 - 0.9 * step / config.steps)
        batch = training.rows(next(batches))
        loss = surrogate_loss(surrogate, batch, table, config.losses, max_time=config.max_time, rng=rng, hindsight=hindsight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(surrogate.parameters(), 1.0)
        optimizer.step()
        record = {"step": step, "steps": config.steps, "loss": loss.item()}
        if step % config.evaluate_every == 0 or step == config.steps:
            found = held_out_agreement(surrogate, held_out, table, margin)
            record |= {"accuracy": found["pairwise"]["accuracy"], "spearman": found["spearman"]}
            quality = _quality(found)
            waited += 1
            if quality > best_quality:
                best_quality, waited = quality, 0
                best = Distilled(deepcopy(surrogate), found, step)
        report(record)
        if waited >= config.patience:
            break
    return best or Distilled(surrogate, found, step)


def _by_group(data: LabelledLatents) -> list[torch.Tensor]:
    return [data.scores[data.groups == group] for group in data.groups.unique()]


def _quality(found: dict[str, Any]) -> float:
    numbers = [found["pairwise"]["accuracy"], found["spearman"]]
    known = [number for number in numbers if number == number]
    return sum(known) / len(known) if known else 0.0
