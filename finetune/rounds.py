"""Distilling in rounds: later labels are asked for where tuning will take the generator.

A surrogate of the untuned generator's samples is climbed to pictures that it has never seen, and believes too much of them. So
the generator is tuned on the first labels' surrogate, the next labels are of what it then paints, and the surrogate is trained
anew on all of them (DAgger's idea, Ross et al. 2011, arXiv 1011.0686; numbers in benchmarks/LOG.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import reward_zoo
from finetune.config import FinetuneConfig, Rounds
from finetune.generators.pipeline import SDXLGenerator
from finetune.method import Critic
from finetune.methods import load_method
from finetune.trainer import Trainer
from finetune.tuning import TunedWeights
from reward_zoo.options import settings_of
from reward_zoo.terminal import progress
from surrogate.checkpoint import load_checkpoint, save_checkpoint
from surrogate.config import DistillConfig
from surrogate.jobs import checkpoint_of, fit, run_training
from surrogate.labels import run_label
from surrogate.runs.folder import RunFolder
from surrogate.seeding import derive_seed
from surrogate.store import LabelledStore


def distill_in_rounds(
    run: RunFolder,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    spec: str,
    prompts: Sequence[str],
    config: DistillConfig,
    pictures: Sequence[tuple[Path, str]] = (),
    *,
    rounds: Rounds,
) -> dict[str, Any]:
    """Label, train, tune, label, …, train, measure, save: the result of `lasro distill --rounds`.

    A run that was cut off goes on where it was; a tuning between rounds that was cut off starts anew.
    """
    began, calls, tuning_calls, moved = time.time(), 0, 0, nullcontext(0)
    for number in range(1, rounds.rounds + 1):
        part = replace(config, samples=config.samples * number // rounds.rounds)
        with moved as spent:
            store, asked = run_label(run.path / "labels", generator, reward, spec, prompts, part, pictures, heed=run.heed)
        calls, tuning_calls = calls + asked, tuning_calls + spent
        if number < rounds.rounds:
            moved = drifted(run, generator, reward, store, prompts, config, rounds, number)
    spent = {"reward_calls": calls + tuning_calls, "tuning_calls": tuning_calls, "rounds": rounds.rounds}
    result = run_training(run, generator, reward, spec, [store], config, began=began, spent=spent)
    for number in range(1, rounds.rounds):
        drift_of(run, number).unlink(missing_ok=True)
    return result


@dataclass(frozen=True)
class InRounds:
    """`distill_in_rounds` with its settings, as `surrogate.distill` takes a job."""

    settings: Rounds

    def __call__(self, *given: Any) -> dict[str, Any]:  # noqa: ANN401 - as distill_in_rounds
        """The result of `lasro distill --rounds`."""
        return distill_in_rounds(*given, rounds=self.settings)


def in_rounds(rounds: int = 2, **settings: Any) -> InRounds:  # noqa: ANN401 - fields of `Rounds`
    """For `surrogate.distill(…, job=in_rounds(2))`: labels in rounds, see `distill_in_rounds`.

    Raises:
        SpecError: no such setting.
        ConfigError: a value out of its range.
    """
    return InRounds(settings_of(Rounds, {"rounds": rounds, **settings}))


def drift_of(run: RunFolder, number: int) -> Path:
    """Where the LoRA is kept, until the run is done, that a round moved the generator by."""
    return checkpoint_of(run, f"drift-{number}")


@contextmanager
def drifted(
    run: RunFolder,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    store: LabelledStore,
    prompts: Sequence[str],
    config: DistillConfig,
    rounds: Rounds,
    number: int,
) -> Iterator[int]:
    """Inside, the generator is tuned on a surrogate of the labels so far, which took so many reward calls; then put back."""
    seed, kept = derive_seed(config.seed, "drift", number), drift_of(run, number)
    tuning = FinetuneConfig(steps=rounds.drift_steps, learning_rate=rounds.drift_learning_rate, seed=seed)
    try:
        if kept.exists():
            state = load_checkpoint(kept, tuning.as_dict())
            TunedWeights(generator.unet, tuning, generator.preset.lora_targets).load_state(state["weights"])
        else:
            phase = f"round-{number}"
            fitted = fit(run, generator, reward, [store], config, phase=phase)
            critic = Critic(fitted.distilled.surrogate, fitted.config, fitted.margin, fitted.data)
            state = _tune(run, generator, reward, prompts, tuning, critic, phase)
            save_checkpoint(kept, tuning.as_dict(), state)
            checkpoint_of(run, phase).unlink(missing_ok=True)
        yield state["calls"]
    finally:
        generator.unet.unload_lora()


def _tune(
    run: RunFolder,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    prompts: Sequence[str],
    config: FinetuneConfig,
    critic: Critic,
    phase: str,
) -> dict[str, Any]:
    """LaSRO with adaptation, for so many steps: the averaged weights, which the generator has then, and the reward calls.

    There is no validation: wherever the surrogate leads, be it wrong, is where the next labels are wanted.
    """
    trainer = Trainer(generator, reward, prompts, config, load_method("lasro", {}), critic=critic)
    with progress("tune") as bar:
        for trainer.step in range(1, config.steps + 1):
            run.log({"phase": phase + "-drift", "step": trainer.step, **trainer.train_once()})
            bar(trainer.step, config.steps)
            run.heed("drift", trainer.step, config.steps)
    with trainer.averaged.applied():
        averaged = trainer.tuned.state()
    trainer.tuned.load_state(averaged)
    return {"weights": averaged, "calls": trainer.reward_calls}
