"""Online adaptation: a little more of the true reward, so that the surrogate follows the generator as it drifts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from finetune.method import Workshop
from surrogate.building import default_learning_rate
from surrogate.distillation import predict
from surrogate.fidelity import pairwise_accuracy
from surrogate.hindsight import hindsight_of
from surrogate.labelling import label_rollout
from surrogate.objective import surrogate_loss
from surrogate.sampling import LabelledLatents, parts_of
from surrogate.seeding import derive_seed, stream

if TYPE_CHECKING:
    from finetune.methods.lasro import Settings


def calls_of(steps: int, settings: Settings, stages: int) -> int:
    """Reward calls that adaptation makes in so many steps of a generator with one or two stages."""
    return steps // settings.adapt_every * settings.adapt_prompts * 2 * stages if settings.adapt_every else 0


def sample_prompts(data: LabelledLatents, count: int, rng: torch.Generator) -> LabelledLatents:
    """All rows of `count` random prompts."""
    names = data.groups.unique()
    return data.rows(torch.isin(data.groups, names[torch.randperm(len(names), generator=rng)[:count]]))


@dataclass
class ReplayBuffer:
    """The newest `size` fresh labels; prompts are numbered as in the table of all training prompts."""

    size: int
    rows: dict[str, Any] = field(default_factory=dict)  # the fields of `LabelledLatents`, but for the prompts

    def add(self, fresh: LabelledLatents) -> None:
        """Append rows, dropping the oldest beyond `size` and those without a score."""
        fresh = fresh.rows(fresh.scores.isfinite())
        tensors = ("latents", "scores", "stages", "groups", *(["several"] if fresh.several is not None else []))
        for name in tensors:
            new = getattr(fresh, name)
            self.rows[name] = (torch.cat([self.rows[name], new]) if name in self.rows else new)[-self.size :]
        self.rows["part_names"] = fresh.part_names
        self.rows["perceived"] = (self.rows.get("perceived", []) + fresh.perceived)[-self.size :]

    def sample(self, prompts: list[str], count: int, rng: torch.Generator) -> LabelledLatents:
        """All rows of `count` random prompts of the buffer."""
        return sample_prompts(LabelledLatents(**self.rows, prompts=prompts), count, rng)


class Adapter:
    """Labels fresh rollouts, measures the surrogate on them, then trains it on them mixed with older labels."""

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        critic = shop.critic
        self.shop, self.settings = shop, settings
        self.surrogate, self.distilled, self.margin, self.old = critic.surrogate, critic.distilled, critic.margin, critic.labels
        self.part_names = tuple(part.name for part in self.surrogate.parts) if len(self.surrogate.parts) > 1 else ()
        self.replay = ReplayBuffer(settings.replay_size)
        self.hindsight = hindsight_of(shop.meter.reward, self.distilled.hindsight)
        # Above that it undoes what distilling, whose rate had fallen, has learnt (benchmarks/LOG.md).
        rate = settings.adapt_learning_rate or min(1e-4, default_learning_rate(self.surrogate) / 4)
        trained = self.surrogate.trained_parameters()
        self.optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=self.distilled.weight_decay)
        self.accuracy = float("nan")  # running pairwise accuracy on fresh samples

    def step(self, step: int) -> dict[str, float]:
        """One adaptation at generator step `step`; what it measured."""
        shop, settings, seed = self.shop, self.settings, self.shop.config.seed
        rng = stream(seed, "adapt", step)
        groups = torch.randperm(len(shop.prompts), generator=rng)[: settings.adapt_prompts].repeat_interleave(2)
        prompts = [shop.prompts[group] for group in groups]
        seeds = [derive_seed(seed, "adapt", step, row) for row in range(len(prompts))]
        rollout = shop.generator.rollout(prompts, seeds)
        latents, labels = label_rollout(shop.generator, shop.meter, rollout)
        scores = torch.tensor([label.score for label in labels])
        stages = torch.tensor([label.stage for label in labels])
        perceived = [label.perceived for label in labels]
        parts = parts_of([label.components for label in labels], self.part_names)
        again = groups.repeat(len(rollout.stages))
        fresh = LabelledLatents(latents, scores, stages, again, shop.prompts, perceived, **parts)
        predictions = predict(self.surrogate, fresh, shop.table, bf16=self.distilled.bf16)
        accuracy = pairwise_accuracy(predictions.numpy(), scores.numpy(), fresh.groups.numpy(), self.margin)
        if accuracy == accuracy:  # not NaN: there were comparable pairs
            self.accuracy = accuracy if self.accuracy != self.accuracy else 0.9 * self.accuracy + 0.1 * accuracy
        self.replay.add(fresh)
        losses = [self._train_once(rng, derive_seed(seed, "adapt dropout", step, n)) for n in range(settings.adapt_steps)]
        return {
            "fresh_accuracy": self.accuracy,
            "fresh_reward": scores.nanmean().item(),
            "fresh_promised": predictions.mean().item(),
            "surrogate_loss": sum(losses) / max(1, len(losses)),
        }

    def _train_once(self, rng: torch.Generator, seed: int) -> float:
        torch.manual_seed(seed)  # dropout's
        self.surrogate.train().unfreeze()
        half = max(1, self.distilled.prompts_per_batch // 2)
        batches = [self.replay.sample(self.shop.prompts, half, rng)]
        if self.old is not None:
            batches.append(sample_prompts(self.old, half, rng))
        loss = sum(
            surrogate_loss(self.surrogate, batch.load(), self.shop.table, self.distilled, rng=rng, hindsight=self.hindsight)
            for batch in batches
        ) / len(batches)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.surrogate.trained_parameters(), self.shop.config.max_grad_norm)
        if norm.isfinite():
            self.optimizer.step()
        self.surrogate.requires_grad_(False).eval()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Optimiser, replay buffer and the running accuracy."""
        return {"optimizer": self.optimizer.state_dict(), "replay": self.replay.rows, "accuracy": self.accuracy}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.replay.rows, self.accuracy = state["replay"], state["accuracy"]
