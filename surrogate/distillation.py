"""Training a surrogate on a labelled store, stopped on held-out prompts before it over-fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reward_zoo.devices import quick
from surrogate.building import build_surrogate, default_learning_rate, settled_for
from surrogate.checkpoint import load_checkpoint, save_checkpoint
from surrogate.config import DistillConfig
from surrogate.errors import LabelError
from surrogate.fidelity import agreement
from surrogate.hindsight import Hindsight
from surrogate.model import Surrogate
from surrogate.objective import surrogate_loss
from surrogate.sampling import ConditioningTable, LabelledLatents, prompt_batches, rows_by_group
from surrogate.seeding import derive_seed, stream
from surrogate.team import ALONE, Team
from surrogate.types import Generator

Report = Callable[[dict[str, Any]], None]
WARM_UP = 30  # steps


@dataclass(frozen=True)
class Distilled:
    """A trained surrogate with the held-out agreement of the step that was kept."""

    surrogate: Surrogate
    held_out: dict[str, Any]
    step: int


@torch.no_grad()
def predict(
    surrogate: Surrogate, data: LabelledLatents, table: ConditioningTable, *, bf16: bool, batch_size: int = 96
) -> torch.Tensor:
    """The surrogate's scores of all rows, (N,)."""
    surrogate.eval()
    parts = []
    for rows in torch.arange(len(data)).split(batch_size):
        latents = data.latents[rows].to(surrogate.device)
        with quick(latents.device, bf16):
            parts.append(surrogate.score(latents, table.told(surrogate, data.groups[rows])))
    return torch.cat(parts).cpu()


def held_out_agreement(
    surrogate: Surrogate, data: LabelledLatents, table: ConditioningTable, margin: float, *, bf16: bool
) -> dict[str, Any]:
    """`fidelity.agreement` of the surrogate on held-out rows."""
    predictions = predict(surrogate, data, table, bf16=bf16).numpy()
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
    checkpoint: Path | None = None,
    team: Team = ALONE,
) -> Distilled:
    """Train on `training`, keep the step that agrees best with `held_out`.

    With `checkpoint`, its state is written there at every evaluation, and an interrupted training goes on from there as if
    it had never stopped. In a team, every process calls this with the same arguments.

    Raises:
        LabelError: no pair of one prompt differs, so there is no order to learn; or fewer prompts a batch than processes.
        BackboneError: see `build_backbone`.
        ResumeError: the checkpoint is unreadable, or of other settings.
    """
    config = settled_for(generator, config, perceives=training.perceives_text, labels=len(training))
    _check(training, config, team)
    table = ConditioningTable(generator, training.prompts)
    surrogate = build_surrogate(generator, training, config)
    training, held_out = (data.prepared(surrogate.backbone) for data in (training, held_out))
    if config.compile:
        surrogate.backbone.compile()
    rate = config.learning_rate or default_learning_rate(surrogate)

    def optimizer_of() -> torch.optim.Optimizer:
        return torch.optim.AdamW(surrogate.trained_parameters(), lr=rate, weight_decay=config.weight_decay)

    model, optimizer = team.prepare(surrogate, optimizer_of)
    best, done = Best(), 0
    if checkpoint and checkpoint.exists():
        done = _go_on(checkpoint, config, surrogate, optimizer, best)
    sizes = (config.prompts_per_batch, config.seed)
    batches = prompt_batches(training.groups, *sizes, rows_per_prompt=config.rows_per_prompt, start=done)
    for step in range(done + 1, config.steps + 1):
        if best.waited >= config.patience:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(step / WARM_UP, 1 - 0.9 * step / config.steps)
        batch = training.rows(next(batches)).load()
        loss = _train_once(surrogate, model, optimizer, batch, table, config, step, hindsight, team)
        record = {"step": step, "steps": config.steps, "loss": loss}
        if step % config.evaluate_every == 0 or step == config.steps:
            found = held_out_agreement(surrogate, held_out, table, margin, bf16=config.bf16)
            record |= {"accuracy": found["pairwise"]["accuracy"], "spearman": found["spearman"]}
            best.see(found, step, lambda: team.whole_state(model))
            if checkpoint and team.leads and not team.sharded:
                state = {"surrogate": surrogate.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(checkpoint, config.as_dict(), {"step": step, **state, "best": vars(best)})
        if team.leads:
            report(record)
    if team.sharded:
        surrogate = build_surrogate(generator, training, config)  # the trained one is in pieces
    if best.state:  # sharded weights are gathered in the process that leads alone
        surrogate.load_state_dict(best.state)
    return Distilled(surrogate, best.found, best.step)


def _check(training: LabelledLatents, config: DistillConfig, team: Team) -> None:
    groups = rows_by_group(training.groups).values()
    if not any(training.scores[rows].max() > training.scores[rows].min() for rows in groups):
        raise LabelError("every prompt's samples have equal scores: no pair to learn from; use more noises or prompts")
    if config.prompts_per_batch < team.count:
        raise LabelError(f"--prompts-per-batch {config.prompts_per_batch}: fewer than the {team.count} processes; give more")


@dataclass
class Best:
    """The evaluation with the best mean of accuracy and Spearman correlation, and how many have passed since."""

    quality: float = float("-inf")
    found: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    waited: int = 0

    def see(self, found: dict[str, Any], step: int, state: Callable[[], dict[str, torch.Tensor]]) -> None:
        """Note down an evaluation; `state` copies the weights, and is asked for if they are the best."""
        numbers = [number for number in (found["pairwise"]["accuracy"], found["spearman"]) if number == number]
        quality = sum(numbers) / len(numbers) if numbers else 0.0
        self.waited += 1
        if quality > self.quality:
            self.quality, self.found, self.step, self.waited = quality, found, step, 0
            self.state = state()


def _train_once(
    surrogate: Surrogate,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: LabelledLatents,
    table: ConditioningTable,
    config: DistillConfig,
    step: int,
    hindsight: Hindsight | None,
    team: Team,
) -> float:
    """One step; all its random numbers, dropout's too, come from the seed and the step's number."""
    torch.manual_seed(derive_seed(config.seed, "dropout", step))
    model.train()
    rng = stream(config.seed, "distill", step)
    loss = surrogate_loss(surrogate, batch, table, config, rng=rng, hindsight=hindsight, model=model, team=team)
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(surrogate.trained_parameters(), 1.0)
    if norm.isfinite():
        optimizer.step()
    return team.mean(loss)


def _go_on(checkpoint: Path, config: DistillConfig, surrogate: Surrogate, optimizer: torch.optim.Optimizer, best: Best) -> int:
    """Take up a checkpoint's state; the steps it has done."""
    state = load_checkpoint(checkpoint, config.as_dict())
    surrogate.load_state_dict(state["surrogate"])
    optimizer.load_state_dict(state["optimizer"])
    for name, value in state["best"].items():
        setattr(best, name, value)
    return state["step"]
