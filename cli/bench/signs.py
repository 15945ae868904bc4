"""Every method on the embedded generator, at equal calls of one reward.

All calls count: labels, samples, adaptation, validation. A rival trains once to the largest budget and is looked at where it
has spent each smaller one; LaSRO, whose labels come first, is run anew for each budget.
What is compared is the checkpoint with the best validation reward so far, on prompts whose words were never trained on, and,
to see what generalises, on training prompts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import reward_zoo
from cli.bench.rows import Rows
from finetune.adaptation import calls_of
from finetune.config import FinetuneConfig
from finetune.errors import ConfigError
from finetune.evaluation import evaluate
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.jobs import critic_of
from finetune.method import Critic
from finetune.methods import load_method
from finetune.methods.lasro import Settings
from finetune.prompts import load_prompts
from finetune.trainer import Trainer
from reward_zoo.devices import pick_device
from reward_zoo.terminal import note, progress
from surrogate.config import DistillConfig
from surrogate.folder import load_surrogate
from surrogate.jobs import run_distill
from surrogate.runs.environment import machine
from surrogate.runs.folder import RunFolder
from surrogate.seeding import derive_seed

GENERATOR = "tiny-signs"
BUDGETS = (4_000, 8_000, 16_000)
LARGEST = 32_000  # for LaSRO alone
EVALUATED = 256  # held-out prompts
EVALUATED_TRAINING = 128  # training prompts
DIVERSITY_PROMPTS = 48
TRAINING = {"validation_samples": 96}  # settings of all runs; these calls count too
RECONSTRUCTED = {"ocr": 0.971}  # the same prompts' real signs through the autoencoder: python -m recipes.tiny_signs.gates
TUNING_SEED, TUNING_BUDGET = 100, 4_000  # of every method: the same three learning rates are tried
RATES = (2e-4, 6e-4, 1.8e-3)
LASRO = {4_000: 100, 8_000: 200, 16_000: 200, 32_000: 200}  # steps of the generator
LABELS = {"noises": 3, "extra_steps": 8, "backbone": "latent-cnn"}


@dataclass(frozen=True, kw_only=True)
class SignsBench:
    """One reward's benchmark.

    Args:
        reward: its spec.
        guards: specs of rewards that are watched.
        folder: results, and the work that may be thrown away.
        device: where networks run.
        rates_from: folder of another reward's benchmark, whose learning rates are taken; None: tuned here.
    """

    reward: str
    guards: Sequence[str]
    folder: Path
    device: str = "auto"
    rates_from: Path | None = None

    @cached_property
    def scorer(self) -> reward_zoo.Reward:
        """The reward."""
        return reward_zoo.load(self.reward)

    @cached_property
    def watched(self) -> dict[str, reward_zoo.Reward]:
        """The guards."""
        return {spec: reward_zoo.load(spec) for spec in self.guards}

    @property
    def rows(self) -> Rows:
        """Results."""
        return Rows(self.folder / "results.jsonl")

    @property
    def tuning(self) -> Rows:
        """What each method's own tuning found."""
        return Rows((self.rates_from or self.folder) / "tuning.jsonl")

    def check_folder(self, *, empty: bool) -> None:
        """See that what is in the folder, which may be empty or not, is of this reward.

        Raises:
            ConfigError: it holds another reward's results, or none.
        """
        known = self.rows.where(method="untuned")
        if not known and not empty:
            raise ConfigError(f"--out {self.folder}: holds no results; leave out --show to run")
        if known and known[0].get("spec") != self.reward:
            other = known[0].get("spec", "a reward it does not name")
            raise ConfigError(
                f"--out {self.folder}: holds results of {other}, not of {self.reward}; give --out of another folder"
            )

    def untuned(self) -> dict[str, Any]:
        """The generator as it is; measured once."""
        known = self.rows.where(method="untuned")
        if not known:
            generator = load_generator(GENERATOR, self.device)
            start = {"method": "untuned", "spec": self.reward, "seed": 0, "budget": 0, "calls": 0, "minutes": 0.0}
            self.rows.add({**start, **self._judge(generator), "machine": machine(pick_device(self.device))})
        return self.rows.where(method="untuned")[0]

    def run(self, method: str, seed: int, budgets: Sequence[int]) -> None:
        """What is missing of one method (or a variant, as lasro:anchor=false) and seed."""
        missing = [budget for budget in budgets if not self.rows.where(method=method, seed=seed, budget=budget)]
        if not missing:
            return
        rate = self.learning_rate(variant(method).method)
        climbs = variant(method).method == "lasro"
        results = self._lasro(method, seed, missing, rate) if climbs else self._rival(method, seed, budgets, rate)
        for row in results:
            if row["budget"] in missing:
                facts = {"method": method, "seed": seed, "learning_rate": rate}
                self.rows.add({**facts, **row, "machine": machine(pick_device(self.device))})

    def learning_rate(self, method: str) -> float:
        """The best of three by validation reward at the tuning budget; tried once.

        Raises:
            ConfigError: the folder that rates are taken from lacks the method.
        """
        for rate in RATES:
            if not self.tuning.where(method=method, learning_rate=rate):
                if self.rates_from:
                    raise ConfigError(f"--rates-from {self.rates_from}: {method} at {rate:.1e} was not tried there")
                note(f"{method}: learning rate {rate:.1e}")
                self.tuning.add({"method": method, "learning_rate": rate, **self._try(method, rate)})
        return max(self.tuning.where(method=method), key=lambda row: row["validation_reward"])["learning_rate"]

    def _try(self, method: str, rate: float) -> dict[str, Any]:
        began = time.time()
        if method == "lasro":
            trainer, calls, _ = self._climb(method, TUNING_SEED, TUNING_BUDGET, rate)
        else:
            trainer, calls = self._trainer(method, TUNING_SEED, rate), 0
            with progress(f"{method} at {rate:.1e}") as bar:
                trainer.report = lambda record: bar(trainer.reward_calls, TUNING_BUDGET)
                trainer.run(max_reward_calls=TUNING_BUDGET)
        found = {"validation_reward": trainer.best_reward, "start": trainer.start_reward, "best_step": trainer.best_step}
        spent = {"calls": calls + trainer.reward_calls, "minutes": (time.time() - began) / 60}
        return {**found, **spent, "machine": machine(pick_device(self.device))}

    def _trainer(self, method: str, seed: int, rate: float, steps: int = 100_000, critic: Critic | None = None) -> Trainer:
        name, options, _ = variant(method)
        config = FinetuneConfig(method=name, steps=steps, learning_rate=rate, seed=seed, **TRAINING)
        generator, reward = load_generator(GENERATOR, self.device), self.scorer
        return Trainer(generator, reward, load_prompts("signs-train"), config, load_method(name, options), critic=critic)

    def _rival(self, method: str, seed: int, budgets: Sequence[int], rate: float) -> Iterator[dict[str, Any]]:
        trainer, spent = self._trainer(method, seed, rate), 0.0
        for budget in sorted(budgets):
            began = time.time()
            with progress(f"{method}, seed {seed}") as bar:
                trainer.report = lambda record: bar(trainer.reward_calls, max(budgets), f"best {trainer.best_reward:.3f}")
                trainer.run(max_reward_calls=budget)
            spent += time.time() - began
            with trainer.best_weights():
                yield {"budget": budget, "calls": trainer.reward_calls, **self._judge(trainer.generator), "minutes": spent / 60}

    def _lasro(self, method: str, seed: int, budgets: Sequence[int], rate: float) -> Iterator[dict[str, Any]]:
        for budget in sorted(budgets):
            began = time.time()
            trainer, before, earlier = self._climb(method, seed, budget, rate)
            minutes = earlier + (time.time() - began) / 60
            with trainer.best_weights():
                calls = before + trainer.reward_calls
                yield {"budget": budget, "calls": calls, **self._judge(trainer.generator), "minutes": minutes}

    def _climb(self, method: str, seed: int, budget: int, rate: float) -> tuple[Trainer, int, float]:
        """Label, distil, tune within a budget: the trainer, the calls before it, and the minutes of what was there already."""
        given = variant(method).labels
        other = "" if given == LABELS else f"-{given['backbone']}"
        run = RunFolder(self.folder / "work" / f"lasro-{seed}-{budget}{other}")
        generator, reward = load_generator(GENERATOR, self.device), self.scorer
        summary, earlier = run.path / "summary.json", 0.0  # written last
        if summary.exists():
            earlier = json.loads(summary.read_text())["minutes"]
        else:
            run.path.mkdir(parents=True, exist_ok=True)
            config = DistillConfig(samples=labels_of(budget), seed=seed, **given)
            run_distill(run, generator, reward, self.reward, load_prompts("signs-train"), config)
        before = json.loads(summary.read_text())["labels"]
        critic = critic_of(load_surrogate(run.path / "surrogate"), reward)
        trainer = self._trainer(method, seed, rate, LASRO[budget], critic)
        with progress(f"{method}, seed {seed}, {budget} calls") as bar:
            trainer.report = lambda record: bar(record["step"], record["steps"], f"best {trainer.best_reward:.3f}")
            trainer.run(max_reward_calls=budget - before)
        return trainer, before, earlier

    def _judge(self, generator: SDXLGenerator) -> dict[str, Any]:
        """The generator as it is now, on held-out and on training prompts; none of these calls counts."""
        reward, guards = self.scorer, self.watched
        test, training = load_prompts("signs-test")[:EVALUATED], load_prompts("signs-train")[:EVALUATED_TRAINING]
        seeds = [derive_seed(0, "evaluation", index) for index in range(EVALUATED)]
        found = evaluate(generator, reward, test, seeds, guards=guards, diversity_prompts=DIVERSITY_PROMPTS)
        seen = evaluate(generator, reward, training, seeds[: len(training)], one_step=False)
        return {
            "reward": mean(found.scores),
            "reward_one_step": mean(found.one_step),
            "reward_training_prompts": mean(seen.scores),
            "guards": {name: mean(scores) for name, scores in found.guards.items()},
            "alarms": {name: mean(alarm) for name, alarm in found.alarms.items()},
            "diversity": mean(found.diversity),
        }


def labels_of(budget: int) -> int:
    """What adaptation and validation leave for labels."""
    steps = LASRO[budget]
    validated = TRAINING["validation_samples"] * (steps // FinetuneConfig.evaluate_every + 1)
    return budget - calls_of(steps, Settings(), 2) - validated


class Variant(NamedTuple):
    """A method with settings of its own; those of the surrogate that LaSRO climbs (its backbone) apart."""

    method: str
    options: dict[str, str]
    surrogate: dict[str, str]

    @property
    def labels(self) -> dict[str, Any]:
        """What its surrogates are distilled with: fields of `DistillConfig`."""
        return {**LABELS, **self.surrogate}


def variant(text: str) -> Variant:
    """What NAME:SETTING=VALUE:… says."""
    method, *settings = text.split(":")
    options, surrogate = dict(setting.split("=", 1) for setting in settings), {}
    if method == "lasro" and "backbone" in options:
        surrogate["backbone"] = options.pop("backbone")
    return Variant(method, options, surrogate)


def mean(scores: np.ndarray) -> float:
    """Of those that are there."""
    return float(np.nanmean(scores))


def budgets_of(method: str, largest: int) -> list[int]:
    """Those up to the largest asked for; the last is LaSRO's alone."""
    known = [*BUDGETS, LARGEST] if method == "lasro" else list(BUDGETS)
    return [budget for budget in known if budget <= largest]


def summarise(bench: SignsBench) -> dict[str, Any]:
    """`b` (the untuned generator's reward), `c` (that of reconstructed real pictures) and `results`, as JSON data."""
    untuned = bench.untuned()
    results = [row for row in bench.rows if row["method"] != "untuned"]
    return {
        "reward": bench.reward,
        "b": untuned["reward"],
        "c": RECONSTRUCTED.get(bench.reward),
        "untuned": untuned,
        "results": results,
        "tuning": list(bench.tuning),
    }
