"""`--dry-run` of `lasro label`, `distill` and `finetune`: known facts, and a short probe where everything is here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.plan import Plan, show, weights_needed
from reward_zoo.errors import LasroError, first_line

if TYPE_CHECKING:
    from cli.surrogate_app import LabelSettings
    from cli.tuning_app import FinetuneSettings
    from finetune.config import Rounds
    from finetune.generators.pipeline import SDXLGenerator
    from finetune.generators.preset import Preset
    from finetune.order import TuningOrder
    from reward_zoo import Reward
    from surrogate.config import DistillConfig
    from surrogate.store import LabelledStore

SDXL_SIZE = 1024  # px of SDXL's own pictures; its autoencoder makes 4 numbers of 8x8 px


def plan_labels(
    settings: LabelSettings,
    out: Path,
    reward: str,
    generator: str,
    config: DistillConfig,
    prompts: Sequence[str],
    pictured: Sequence[str],
    load: Callable[[], tuple[Reward, SDXLGenerator]],
    *,
    stores: Sequence[LabelledStore] = (),
    trains: bool = False,
    rounds: Rounds | None = None,
) -> None:
    """Print the plan of a labelling and, if `trains`, of the training on its labels (in `rounds`) or on those of `stores`."""
    from finetune.adaptation import calls_of
    from finetune.generators.preset import find_preset
    from finetune.methods.lasro import Settings
    from surrogate.labels import label_jobs

    plan = Plan("distill" if trains else "label", out, downloads=weights_needed([reward], generator))
    rows = sum(map(len, stores)) if stores else len(label_jobs(prompts, config, pictured)) * config.stages + len(pictured)
    there = _labels_there(out) if settings.resume and not stores else 0
    if not stores:
        plan.reward_calls["labels"] = plan.images = rows - there
    if plan.missing:
        _known(plan, rows, find_preset(generator))
    else:
        _probe_labels(plan, config, prompts, load, stores, rows, trains)
    if there:
        plan.sources["calls"] = f"{there:,} of {rows:,} labels are there"
        if "labels" in plan.seconds:
            plan.seconds["labels"] *= (rows - there) / rows
    if rounds and rounds.rounds > 1:
        tuning = (rounds.rounds - 1) * rounds.drift_steps
        plan.reward_calls["tuning between rounds"] = calls_of(tuning, Settings(), min(2, config.generator_steps))
        if "training" in plan.seconds:
            plan.seconds["training"] *= rounds.rounds  # at most: the earlier ones have fewer labels
            plan.sources["time"] += "; tuning between the rounds comes on top"
    show(plan, as_json=settings.json)


def _labels_there(out: Path) -> int:
    """How many an interrupted run has made."""
    from surrogate.store import LabelledStore

    return len(LabelledStore.open(out / "labels")) if (out / "labels" / "meta.json").is_file() else 0


def _known(plan: Plan, rows: int, preset: Preset | None) -> None:
    """What can be said without loading anything."""
    from cli.probe import unmeasured, why_not

    unmeasured(plan, why_not(plan, None))
    if preset is not None:
        height, width = preset.image_size or (SDXL_SIZE, SDXL_SIZE)
        plan.disk["labels"] = rows * 4 * (height // 8) * (width // 8) * 2
        plan.sources["disk"] = "two bytes for each of a latent's 4 x height/8 x width/8 numbers"


def _probe_labels(
    plan: Plan,
    config: DistillConfig,
    prompts: Sequence[str],
    load: Callable[[], tuple[Reward, SDXLGenerator]],
    stores: Sequence[LabelledStore],
    rows: int,
    trains: bool,
) -> None:
    from cli.probe import probe_labels, probe_training, unmeasured, why_not

    reward, generator = load()
    if reason := why_not(plan, reward):
        unmeasured(plan, reason)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            held = list(stores) or [probe_labels(plan, generator, reward, prompts, config, Path(folder) / "labels")]
            if trains:
                probe_training(plan, generator, reward, held, config, rows)
        except LasroError as error:
            plan.sources["time"] = "; ".join(
                filter(None, [plan.sources.get("time", ""), f"the rest not known: the probe said {first_line(error)}"])
            )


def plan_tuning(settings: FinetuneSettings, out: Path, order: TuningOrder) -> None:
    """Print the plan of a fine-tuning."""
    from cli.probe import probe_tuning, unmeasured, why_not
    from surrogate.checkpoint import Checkpoints

    rewards = [order.reward, *(settings.guards or [])]
    plan = Plan("finetune", out, downloads=weights_needed(rewards, order.generator))
    if plan.missing:
        unmeasured(plan, why_not(plan, None))
    else:
        made = order.load()
        if reason := why_not(plan, made.reward):
            unmeasured(plan, reason)
        else:
            probe_tuning(plan, made, done=Checkpoints(out / "checkpoints").step if settings.resume else 0)
    if settings.max_reward_calls is not None:
        plan.sources["calls"] = f"training and validation stop at --max-reward-calls {settings.max_reward_calls:,}"
    show(plan, as_json=settings.json)
