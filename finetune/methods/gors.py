"""GORS (Huang et al., T2I-CompBench, arXiv 2307.06350): fine-tuning on one's own samples, weighted by their reward.

Samples above a threshold are kept and painted again from noise, each squared error times the sample's reward. As GORS-LCM,
the rival in LaSRO's paper: noise levels are those at which the few-step generator is asked, and the network learns x0.
Samples come from the frozen generator, as in the source (`on_policy` takes the present one); the threshold there is a number
chosen for each reward, here by default the batch's median.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from finetune.config import above_zero
from finetune.imitation import imitation_loss, noised
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.trajectories import draw
from surrogate.seeding import stream


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the regression.

    Raises:
        ConfigError: a value out of its range.
    """

    samples_per_prompt: int = 4
    threshold: float | None = None  # samples below it are left out; None: the median of each batch
    updates: int = 2  # weight steps a batch of fresh samples
    batch_rows: int = 32  # kept samples a weight step
    buffer_size: int = 4096  # kept samples, the newest
    on_policy: bool = False

    def __post_init__(self) -> None:
        above_zero(self, ("samples_per_prompt", "updates", "batch_rows", "buffer_size"))


class Method(Base):
    """Keep good samples; learn to paint them."""

    learning_rate = 1e-4

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        shape = shop.latent_shape
        self.kept = {"z": torch.zeros(0, *shape), "groups": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)}

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """Fresh samples into the buffer, then weight steps on it."""
        settings, shop = self.settings, self.shop
        rng = stream(shop.config.seed, "gors", step)
        with nullcontext() if settings.on_policy else shop.tuned.off():
            batch = draw(shop, per_prompt=settings.samples_per_prompt, rng=rng)
        floor = batch.scores.median() if settings.threshold is None else settings.threshold
        good = batch.scores >= floor
        fresh = {"z": batch.z[good], "groups": batch.groups[good], "scores": batch.scores[good]}
        self.kept = {name: torch.cat([self.kept[name], fresh[name]])[-settings.buffer_size :] for name in fresh}
        self.metrics = {"batch_reward": batch.scores.mean().item(), "kept": float(len(self.kept["scores"]))}
        times = shop.generator.preset.times
        for _ in range(settings.updates * shop.config.gradient_accumulation_steps):
            rows = torch.randint(0, max(1, len(self.kept["scores"])), (settings.batch_rows,), generator=rng)
            if len(self.kept["scores"]):
                z, groups, scores = (self.kept[name][rows] for name in ("z", "groups", "scores"))
                time = times[int(torch.randint(0, len(times), (1,), generator=rng))]
                yield imitation_loss(shop, noised(shop, z, time, rng), time, groups, z, self._weights(scores))

    def _weights(self, scores: torch.Tensor) -> torch.Tensor:
        """Rewards as they are where they cannot be negative; else by how they stand in the buffer."""
        if self.shop.meter.reward.card.range[0] >= 0:
            return scores
        low, high = self.kept["scores"].min(), self.kept["scores"].max()
        return (scores - low) / (high - low).clamp_min(1e-6)

    def state(self) -> dict[str, Any]:
        """The samples kept."""
        return dict(self.kept)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.kept = dict(state)
