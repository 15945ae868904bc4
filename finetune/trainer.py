"""The loop that all methods share: step, watch the true reward, keep the best, save, stop what cheats.

Every random number comes from a stream named by seed, purpose and step, so a resumed run draws what the uninterrupted one
would have drawn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from finetune.config import FinetuneConfig
from finetune.errors import PromptError
from finetune.evaluation import Evaluation, evaluate
from finetune.generators.pipeline import SDXLGenerator
from finetune.generators.preset import Preset
from finetune.lcm_anchor import RealPictures
from finetune.method import Critic, Method, Workshop
from finetune.tuning import AveragedParameters, TunedWeights
from reward_zoo import Reward
from surrogate.checkpoint import Checkpoints
from surrogate.labelling import RewardMeter
from surrogate.sampling import ConditioningTable, LabelledLatents
from surrogate.seeding import derive_seed, stream

Report = Callable[[dict[str, Any]], None]
Gallery = Callable[[int, Evaluation, Sequence[str]], None]  # step, what validation found, its prompts
SHOWN = 12  # pictures of a validation
FALLS_BEFORE_STOP = 3  # evaluations in a row below the start, while the method believes to gain
_NUMBERS = ("step", "best_step", "best_reward", "start_reward", "falls", "skipped", "start_promise", "stopped")


class Trainer:
    """One fine-tuning run. `run()` trains; afterwards `best` holds the weights with the highest validation reward.

    Args:
        generator: what is tuned.
        reward: the true one.
        prompts: training prompts, some of which are set aside for validation.
        config: what all methods share.
        method: class and settings, see `finetune.methods.load_method`.
        critic: the surrogate, for methods that climb one.
        pictures: real ones, for methods that have a use for them.
        report: told of every step.
        gallery: told of every validation, with the pictures of its first prompts.
        guards: rewards never trained on, whose means every validation reports too.
        diversity_prompts: validation prompts that are painted several times, to see how the pictures differ.
    """

    def __init__(
        self,
        generator: SDXLGenerator,
        reward: Reward,
        prompts: Sequence[str],
        config: FinetuneConfig,
        method: tuple[type[Method], Any],
        *,
        critic: Critic | None = None,
        pictures: RealPictures | None = None,
        report: Report = lambda record: None,
        gallery: Gallery = lambda step, found, prompts: None,
        guards: dict[str, Reward] | None = None,
        diversity_prompts: int = 0,
    ) -> None:
        self.generator, self.config, self.report, self.gallery = generator, config, report, gallery
        self._watched = {"guards": guards, "diversity_prompts": diversity_prompts}
        self._set_aside(prompts)
        self.meter = RewardMeter(reward)  # calls that train
        self.validation_meter = RewardMeter(reward)  # calls that pick the best checkpoint
        if critic is not None and critic.labels is not None:
            known = {prompt: index for index, prompt in enumerate(self.prompts)}
            critic = replace(critic, labels=_renumber(critic.labels, known, self.prompts))
        table = ConditioningTable(generator, self.prompts)
        self.tuned = TunedWeights(generator.unet, config, generator.preset.lora_targets)
        self.averaged = AveragedParameters(self.tuned.parameters, config.ema_decay)
        kind, settings = method
        self.rate = config.learning_rate or default_learning_rate(config, generator.preset, kind)
        self.falls_off = (config.lr_scheduler or kind.lr_scheduler) == "cosine"
        self.optimizer = torch.optim.AdamW(self.tuned.parameters, lr=self.rate, weight_decay=0.0, betas=(0.9, 0.99))
        shop = Workshop(generator, self.tuned, self.meter, self.prompts, table, config, critic, pictures)
        try:
            self.method = kind(shop, settings)
        except BaseException:
            self.tuned.remove()
            raise
        self.step = 0
        self.best = self.tuned.state()
        self.best_step, self.best_reward, self.start_reward = 0, float("-inf"), float("nan")
        self.falls, self.skipped, self.start_promise, self.stopped = 0, 0, float("nan"), ""
        self.leave = False  # set to end the run after the step it is in, saved

    def _set_aside(self, prompts: Sequence[str]) -> None:
        """Some prompts for validation, apart from those that train."""
        config = self.config
        order = torch.randperm(len(prompts), generator=stream(config.seed, "validation")).tolist()
        held = min(config.validation_samples, max(1, len(prompts) // 4))
        self.validation_prompts = [prompts[index] for index in order[:held]]
        self.validation_seeds = [derive_seed(config.seed, "validation", row) for row in range(held)]
        held_out = set(self.validation_prompts)
        self.prompts = [prompt for prompt in prompts if prompt not in held_out]
        if not self.prompts:
            raise PromptError(f"--prompts: {len(held_out)} distinct, which validation needs; give at least 2")

    @property
    def reward_calls(self) -> int:
        """What the run has cost so far: training and validation."""
        return self.meter.calls + self.validation_meter.calls

    def run(self, checkpoints: Checkpoints | None = None, *, max_reward_calls: int | None = None) -> None:
        """Train to the end, until so many calls are spent, or until the run stops itself (`stopped` says why).

        Checkpoints are written at each evaluation, and where the run is left.
        """
        most = max_reward_calls or self.config.max_reward_calls
        if self.step == 0:
            self._report(self._evaluate())
        while self.step < self.config.steps and not self.stopped and not (most and self.reward_calls >= most):
            self.step += 1
            record = self.train_once()
            evaluates = self.step % self.config.evaluate_every == 0 or self.step == self.config.steps
            if evaluates:
                record |= self._evaluate()
            self._report(record)
            leave = self.leave  # looked at once: whoever leaves has saved
            if checkpoints and (evaluates or leave):
                checkpoints.save(self.step, self._settings(), self.state())
            if leave:
                break

    def _report(self, record: dict[str, Any]) -> None:
        calls = {"reward_calls": self.meter.calls, "validation_calls": self.validation_meter.calls}
        self.report({"step": self.step, "steps": self.config.steps, **calls, **record})

    def train_once(self) -> dict[str, Any]:
        """Step number `step` of the method: its losses, each followed by a step of the weights or gathered for one."""
        norms, gather, number = [], self.config.gradient_accumulation_steps, 0
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * (falling(self.step / self.config.steps) if self.falls_off else 1.0)
        self.optimizer.zero_grad()
        for number, loss in enumerate(self.method.losses(self.step), 1):
            (loss / gather if gather > 1 else loss).backward()
            if number % gather == 0:
                norms.append(self._update(loss))
        if left := number % gather:  # fewer than were to be gathered: their mean
            for parameter in self.tuned.parameters:
                if parameter.grad is not None:
                    parameter.grad *= gather / left
            norms.append(self._update(loss))
        norm = sum(norms) / len(norms) if norms else 0.0
        return {**self.method.metrics, "grad_norm": norm, "skipped_steps": self.skipped}

    def _update(self, loss: torch.Tensor) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.tuned.parameters, self.config.max_grad_norm)
        if torch.isfinite(norm) and torch.isfinite(loss):
            self.optimizer.step()
            self.averaged.update()
        else:
            self.skipped += 1
        self.optimizer.zero_grad()
        return norm.item()

    def _evaluate(self) -> dict[str, Any]:
        """True reward of the averaged weights on the validation prompts; keeps the best, and stops a run that cheats."""
        with self.averaged.applied():
            found = evaluate(
                self.generator,
                self.validation_meter,
                self.validation_prompts,
                self.validation_seeds,
                one_step=False,
                keep_images=SHOWN,
                **self._watched,
            )
            averaged = self.tuned.state()
        self.gallery(self.step, found, self.validation_prompts)
        scores = torch.from_numpy(found.scores)
        reward, promise = float(scores[scores.isfinite()].mean()), self.method.promised
        if self.step == 0:
            self.start_reward = reward
        elif self.start_promise != self.start_promise:
            self.start_promise = promise
        if reward > self.best_reward:
            self.best, self.best_step, self.best_reward = averaged, self.step, reward
        cheats = reward < self.start_reward and promise > self.start_promise
        self.falls = self.falls + 1 if cheats else 0
        if self.falls >= FALLS_BEFORE_STOP:
            self.stopped = (
                f"the surrogate's score rose to {promise:.3f} while the true reward fell from "
                f"{self.start_reward:.3f} to {reward:.3f}; the best checkpoint (step {self.best_step}) stands"
            )
        record: dict[str, Any] = {"validation_reward": reward, "best_step": self.best_step}
        if found.guards:
            record["guards"] = {name: float(np.nanmean(scores)) for name, scores in found.guards.items()}
        if len(found.diversity):
            record["diversity"] = float(found.diversity.mean())
        return record

    @contextmanager
    def best_weights(self) -> Iterator[None]:
        """Inside, the generator is the best checkpoint so far."""
        present = self.tuned.state()
        self.tuned.load_state(self.best)
        try:
            yield
        finally:
            self.tuned.load_state(present)

    def _settings(self) -> dict[str, Any]:
        """What a resumed run must agree with; of the prompts, which checkpoints number, a digest."""
        texts = [*self.prompts, *self.validation_prompts]
        digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
        given = {
            "generator": self.generator.name,
            "reward": self.meter.reward.card.name,
            "prompts": f"{len(texts)} texts ({digest})",
        }
        return {**given, **self.config.as_dict(), **vars(self.method.settings)}

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            "weights": self.tuned.state(),
            "averaged": self.averaged.average,
            "averaged_steps": self.averaged.seen,
            "optimizer": self.optimizer.state_dict(),
            "method": self.method.state(),
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
            "best": self.best,
            "calls": [self.meter.calls, self.validation_meter.calls],
        }

    def load(self, checkpoints: Checkpoints) -> None:
        """Go on where the newest of the checkpoints left off; from the start if there is none.

        Raises:
            ResumeError: none is readable, or it was made with other settings.
        """
        state = checkpoints.load(self._settings(), free=("steps", "keep", "max_reward_calls"))
        if state is None:
            return
        self.tuned.load_state(state["weights"])
        self.averaged.load(state["averaged"], state["averaged_steps"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.method.load_state(state["method"])
        for name, value in state["numbers"].items():
            setattr(self, name, value)
        self.best = state["best"]
        self.meter.calls, self.validation_meter.calls = state["calls"]


def default_learning_rate(config: FinetuneConfig, preset: Preset, kind: type[Method]) -> float:
    """The preset's, else the method's own: for a LoRA. Where all weights are tuned, a tenth of it."""
    return (preset.learning_rate or kind.learning_rate) * (0.1 if config.tune == "full" else 1.0)


def falling(share: float, least: float = 0.05) -> float:
    """Half a cosine from 1 to `least`, at `share` of the way."""
    return least + (1 - least) * (1 + math.cos(math.pi * share)) / 2


def _renumber(old: LabelledLatents, known: dict[str, int], prompts: list[str]) -> LabelledLatents | None:
    """Old labels with their prompts numbered as in `prompts`; those of other prompts are left out."""
    numbers = torch.tensor([known.get(prompt, -1) for prompt in old.prompts])[old.groups]
    kept = numbers >= 0
    return replace(old.rows(kept), groups=numbers[kept], prompts=prompts) if kept.any() else None
