"""LaSRO's loop: climb the surrogate, adapt it to the drifting generator, watch the true reward, keep the best.

Jia et al., CVPR 2025 (arXiv 2411.15247), with a data-free anchor in place of the LCM loss. Every random number comes
from a stream named by seed, purpose and step, so a resumed run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from finetune.adaptation import Adapter
from finetune.anchor import TrustRegion, x0_distance
from finetune.config import FinetuneConfig
from finetune.evaluation import evaluate
from finetune.generators.pipeline import SDXLGenerator
from finetune.lora import AveragedParameters, attach_lora, lora_off, lora_state, set_lora_state
from finetune.objective import NormaliseAndClip
from reward_zoo import Reward
from surrogate.checkpoint import load_checkpoint, save_checkpoint
from surrogate.config import DistillConfig
from surrogate.labelling import RewardMeter
from surrogate.model import Surrogate
from surrogate.sampling import ConditioningTable, LabelledLatents
from surrogate.seeding import derive_seed, stream

Report = Callable[[dict[str, Any]], None]
FALLS_BEFORE_STOP = 3  # evaluations in a row below the start, while the surrogate's score rises


class Trainer:
    """One fine-tuning run. `run()` trains; afterwards `best` holds the LoRA with the highest validation reward."""

    def __init__(
        self,
        generator: SDXLGenerator,
        surrogate: Surrogate,
        reward: Reward,
        prompts: Sequence[str],
        config: FinetuneConfig,
        *,
        distilled: DistillConfig,
        margin: float,
        old: LabelledLatents | None = None,
        report: Report = lambda record: None,
    ) -> None:
        self.generator, self.surrogate, self.config, self.report = generator, surrogate, config, report
        order = torch.randperm(len(prompts), generator=stream(config.seed, "validation")).tolist()
        held = min(config.validation_samples, max(1, len(prompts) // 4))
        self.validation_prompts = [prompts[index] for index in order[:held]]
        self.validation_seeds = [derive_seed(config.seed, "validation", row) for row in range(held)]
        held_out = set(self.validation_prompts)
        self.prompts = [prompt for prompt in prompts if prompt not in held_out]
        self.meter = RewardMeter(reward)  # calls that train
        self.validation_meter = RewardMeter(reward)  # calls that pick the best checkpoint
        if old is not None:
            known = {prompt: index for index, prompt in enumerate(self.prompts)}
            old = _renumber(old, known, self.prompts)
        self.table = ConditioningTable(generator, self.prompts)
        self.parameters = attach_lora(
            generator.unet, rank=config.lora_rank, targets=config.lora_targets, seed=derive_seed(config.seed, "lora")
        )
        self.averaged = AveragedParameters(self.parameters, config.ema_decay)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.learning_rate, weight_decay=0.0, betas=(0.9, 0.99))
        surrogate.requires_grad_(False).eval().to(generator.device)
        self.adapter = Adapter(generator, surrogate, self.meter, self.prompts, self.table, old, config, distilled, margin)
        self.trust = TrustRegion(config.anchor_band, config.anchor_band_max)
        highest = reward.card.range[1]
        self.objectives = (NormaliseAndClip(highest=highest), NormaliseAndClip(highest=highest))
        self.step = 0
        self.best: dict[str, torch.Tensor] = lora_state(generator.unet)
        self.best_step, self.best_reward, self.start_reward = 0, float("-inf"), float("nan")
        self.falls, self.skipped, self.start_surrogate, self.stopped = 0, 0, float("nan"), ""

    def run(self, checkpoint: Path | None = None) -> None:
        """Train to the end or until the run stops itself (`stopped` says why); `checkpoint` is written at each evaluation."""
        if self.step == 0:
            self._evaluate()
        while self.step < self.config.steps and not self.stopped:
            self.step += 1
            record = self.generator_step()
            if self.step % self.config.adapt_every == 0:
                record |= self.adapter.step(self.step)
                self.trust.widen(self.adapter.accuracy, trusted=self.config.trust_accuracy)
            if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                record |= self._evaluate(record["surrogate_z2"])
                if checkpoint:
                    self.save(checkpoint)
            self.report({"step": self.step, "steps": self.config.steps, "reward_calls": self.meter.calls, **record})

    def generator_step(self) -> dict[str, float]:
        """One step of the LoRA on −(c1·S[R(z1)] + c2·S[R(z2)]) + anchor."""
        config, generator = self.config, self.generator
        rng = stream(config.seed, "generator", self.step)
        groups = torch.randint(0, len(self.prompts), (config.batch_size,), generator=rng)
        conditioning = self.table[groups]
        shape = (config.batch_size, *_latent_shape(generator))
        first, second = generator.preset.times
        noisy1 = generator.inputs_first(torch.randn(shape, generator=rng).to(generator.device))
        fresh = torch.randn(shape, generator=rng).to(generator.device)
        z1, seen = generator.x0(noisy1, first, conditioning)
        noisy2 = generator.inputs_second(z1, seen, fresh).detach()
        z2, _ = generator.x0(noisy2, second, conditioning)
        with torch.no_grad(), lora_off(generator.unet):
            frozen1, _ = generator.x0(noisy1, first, conditioning)
            frozen2, _ = generator.x0(noisy2, second, conditioning)
        distance = (x0_distance(z1, frozen1) + x0_distance(z2, frozen2)) / 2
        with torch.autocast(z1.device.type, torch.bfloat16):
            score1 = self.surrogate.score(z1, conditioning, rng=rng)
            score2 = self.surrogate.score(z2, conditioning, rng=rng)
        gain = config.z1_weight * self.objectives[0](score1).mean() + config.z2_weight * self.objectives[1](score2).mean()
        loss = self.trust.penalty(distance) - gain
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
        if torch.isfinite(norm) and torch.isfinite(loss):
            self.optimizer.step()
            self.averaged.update()
        else:
            self.skipped += 1
        self.trust.update(distance.item())
        return {
            "surrogate_z1": score1.mean().item(),
            "surrogate_z2": score2.mean().item(),
            "distance": distance.item(),
            "band": self.trust.band,
            "anchor_weight": self.trust.weight,
            "grad_norm": norm.item(),
            "skipped_steps": self.skipped,
        }

    def _evaluate(self, surrogate_score: float = float("nan")) -> dict[str, float]:
        """True reward of the averaged LoRA on the validation prompts; keeps the best, and stops a run that cheats."""
        with self.averaged.applied():
            found = evaluate(
                self.generator, _metered(self.validation_meter), self.validation_prompts, self.validation_seeds, one_step=False
            )
            averaged = lora_state(self.generator.unet)
        reward = float(found.z2[torch.from_numpy(found.z2).isfinite().numpy()].mean())
        if self.step == 0:
            self.start_reward = reward
        elif self.start_surrogate != self.start_surrogate:
            self.start_surrogate = surrogate_score
        if reward > self.best_reward:
            self.best, self.best_step, self.best_reward = averaged, self.step, reward
        cheats = reward < self.start_reward and surrogate_score > self.start_surrogate
        self.falls = self.falls + 1 if cheats else 0
        if self.falls >= FALLS_BEFORE_STOP:
            self.stopped = (
                f"the surrogate's score rose to {surrogate_score:.3f} while the true reward fell from "
                f"{self.start_reward:.3f} to {reward:.3f}; the best checkpoint (step {self.best_step}) stands"
            )
        return {"validation_reward": reward, "best_step": self.best_step}

    def save(self, path: Path) -> None:
        """Write everything a resumed run needs, atomically."""
        state = {
            "step": self.step,
            "lora": lora_state(self.generator.unet),
            "averaged": self.averaged.average,
            "averaged_steps": self.averaged.seen,
            "optimizer": self.optimizer.state_dict(),
            "surrogate": self.surrogate.state_dict(),
            "surrogate_optimizer": self.adapter.optimizer.state_dict(),
            "replay": self.adapter.replay.rows,
            "trust": asdict(self.trust),
            "objectives": [asdict(objective) for objective in self.objectives],
            "numbers": {name: getattr(self, name) for name in _NUMBERS} | {"accuracy": self.adapter.accuracy},
            "best": self.best,
            "calls": [self.meter.calls, self.validation_meter.calls],
        }
        save_checkpoint(path, self.config.as_dict(), state)

    def load(self, path: Path) -> None:
        """Go on where `save` left off.

        Raises:
            ResumeError: the checkpoint is unreadable, or was made with other settings.
        """
        state = load_checkpoint(path, self.config.as_dict(), free=("steps",))
        set_lora_state(self.generator.unet, state["lora"])
        self.averaged.average, self.averaged.seen = state["averaged"], state["averaged_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.surrogate.load_state_dict(state["surrogate"])
        self.adapter.optimizer.load_state_dict(state["surrogate_optimizer"])
        self.adapter.replay.rows = state["replay"]
        self.trust = TrustRegion(**state["trust"])
        self.objectives = tuple(NormaliseAndClip(**kept) for kept in state["objectives"])
        self.adapter.accuracy = state["numbers"].pop("accuracy")
        for name, value in state["numbers"].items():
            setattr(self, name, value)
        self.step, self.best = state["step"], state["best"]
        self.meter.calls, self.validation_meter.calls = state["calls"]


_NUMBERS = ("best_step", "best_reward", "start_reward", "falls", "skipped", "start_surrogate", "stopped")


def _metered(meter: RewardMeter) -> Callable[..., Any]:
    """The meter under a reward's calling convention."""
    return lambda *, images, prompts: meter(images, prompts)


def _latent_shape(generator: SDXLGenerator) -> tuple[int, int, int]:
    space = generator.latent_space
    return space.channels, space.height, space.width


def _renumber(old: LabelledLatents, known: dict[str, int], prompts: list[str]) -> LabelledLatents | None:
    """Old labels with their prompts numbered as in `prompts`; those of other prompts are left out."""
    numbers = torch.tensor([known.get(prompt, -1) for prompt in old.prompts])[old.groups]
    kept = numbers >= 0
    return replace(old.rows(kept), groups=numbers[kept], prompts=prompts) if kept.any() else None
