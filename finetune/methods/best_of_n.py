"""Best of N, distilled: paint at once what was the best of several tries.

Of each prompt and start noise, N samples are drawn that differ in the noise put back between the steps. The best one becomes
what the network should paint from the start noise and from every one of the N second inputs. It is a function of the start
noise, so nothing is averaged over pictures that have nothing to do with each other, which is what blurs plain fine-tuning on
the best samples (RAFT, Dong et al., arXiv 2304.06767).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from finetune.advantages import best_rows
from finetune.config import above_zero, named
from finetune.errors import ConfigError
from finetune.imitation import imitation_loss
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.trajectories import draw, needs_fresh_noise
from surrogate.seeding import stream


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the tries.

    Raises:
        ConfigError: a value out of its range.
    """

    samples_per_prompt: int = 4  # N
    updates: int = 1  # weight steps a batch

    def __post_init__(self) -> None:
        above_zero(self, ("updates",))
        if self.samples_per_prompt < 2:
            raise ConfigError(f"{named(self, 'samples_per_prompt')}: the best of fewer than 2 teaches nothing")


class Method(Base):
    """Sample, pick, imitate."""

    learning_rate = 1e-4

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        needs_fresh_noise(shop.generator, "best-of-n")

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """One batch of prompts; those whose samples all score alike teach nothing."""
        shop = self.shop
        rng = stream(shop.config.seed, "best of n", step)
        batch = draw(shop, per_prompt=self.settings.samples_per_prompt, rng=rng, shared_start=True)
        best = best_rows(batch.scores, batch.groups)
        self.metrics = {"batch_reward": batch.scores.mean().item(), "best_reward": batch.scores[best].mean().item()}
        first, second = shop.generator.preset.times
        target_of = {int(batch.groups[row]): row for row in best}
        rows = torch.tensor([row for row in range(len(batch)) if int(batch.groups[row]) in target_of], dtype=torch.long)
        for some in rows[torch.randperm(len(rows), generator=rng)].tensor_split(
            self.settings.updates * shop.config.gradient_accumulation_steps
        ):
            if len(some):
                groups = batch.groups[some]
                target = batch.z[torch.stack([target_of[group] for group in groups.tolist()])]
                weights = torch.ones(len(some))
                given = (groups, target, weights)
                yield (
                    imitation_loss(shop, batch.first[some], first, *given)
                    + imitation_loss(shop, batch.last[some], second, *given)
                ) / 2
