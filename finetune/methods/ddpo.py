"""DDPO as RLCM runs it on consistency models (Oertell et al., arXiv 2404.03673; Black et al., arXiv 2305.13301).

PPO on the steps that are random. Of two steps that is the first: noise is put back behind it, so the second input has a
likelihood; the last step is deterministic and learns nothing. As in RLCM's code, log-probabilities are means over the
latent's entries, ratios are clipped at 1e-4, advantages at 10, and a batch is gone over once. Difference: rewards are
compared with the other samples of their prompt, not with a running record of it: prompts hardly come again here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from finetune.advantages import within_prompt
from finetune.config import above_zero
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.trajectories import draw, needs_fresh_noise, second_log_prob
from surrogate.seeding import stream


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of PPO.

    Raises:
        ConfigError: a value out of its range.
    """

    samples_per_prompt: int = 4
    inner_epochs: int = 1  # times a batch is gone over
    updates: int = 2  # weight steps an inner epoch, on a part of the batch each: 32 samples, as on RLCM's four GPUs
    clip_range: float = 1e-4  # of the ratio of likelihoods
    advantage_clip: float = 10.0

    def __post_init__(self) -> None:
        above_zero(self, ("inner_epochs", "updates", "clip_range", "advantage_clip"))
        above_zero(self, ("samples_per_prompt",))


class Method(Base):
    """Sample, score, and step where likelihood and advantage agree."""

    learning_rate = 3e-4

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        needs_fresh_noise(shop.generator, "ddpo")

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """One batch of samples, gone over."""
        settings, shop = self.settings, self.shop
        rng = stream(shop.config.seed, "ddpo", step)
        batch = draw(shop, per_prompt=settings.samples_per_prompt, rng=rng)
        advantages = within_prompt(batch.scores, batch.groups).clamp(-settings.advantage_clip, settings.advantage_clip)
        clipped, parts = [], settings.updates * shop.config.gradient_accumulation_steps
        for _ in range(settings.inner_epochs):
            for rows in torch.randperm(len(batch), generator=rng).tensor_split(parts):
                some, advantage = batch[rows], advantages[rows].to(shop.generator.device)
                log_prob = second_log_prob(shop.generator, some.first, some.last, shop.table[some.groups])
                ratio = (log_prob - some.log_prob.to(log_prob)).exp()
                near = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
                clipped.append((ratio != near).float().mean().item())
                yield -torch.minimum(advantage * ratio, advantage * near).mean()
        self.metrics = {"batch_reward": batch.scores.mean().item(), "clipped": sum(clipped) / len(clipped)}
