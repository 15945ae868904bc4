"""Pairwise sample optimisation (Miao et al., ICLR 2025, arXiv 2410.03190): DPO for distilled generators, online.

Two samples a prompt; the better one's likelihood is raised above the frozen generator's, and the worse one's lowered:
−log σ(β·[log p/p_ref (better) − log p/p_ref (worse)]), each ratio clipped at 1 ± 0.1, β = 50, likelihoods as means over the
latent's entries, over all steps but the last, which has none: of two steps, the first. As in the published trainer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from finetune.config import above_zero
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.trajectories import Trajectories, draw, needs_fresh_noise, second_log_prob
from surrogate.seeding import stream


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the pairwise loss.

    Raises:
        ConfigError: a value out of its range.
    """

    beta: float = 50.0
    clip_range: float = 0.1  # of the ratio to the frozen generator
    updates: int = 1  # weight steps a batch

    def __post_init__(self) -> None:
        above_zero(self, ("beta", "clip_range", "updates"))


class Method(Base):
    """Pairs of fresh samples, ordered by the true reward."""

    learning_rate = 3e-4

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        needs_fresh_noise(shop.generator, "pso")

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """One batch of pairs; ties teach nothing."""
        shop, settings = self.shop, self.settings
        rng = stream(shop.config.seed, "pso", step)
        batch = draw(shop, per_prompt=2, rng=rng)
        better, worse = pairs(batch.scores, batch.groups)
        self.metrics = {"batch_reward": batch.scores.mean().item(), "pairs": float(len(better))}
        parts = settings.updates * shop.config.gradient_accumulation_steps
        for rows in torch.randperm(len(better), generator=rng).tensor_split(parts):
            if len(rows):
                gain = self._log_ratio(batch[better[rows]]) - self._log_ratio(batch[worse[rows]])
                yield -F.logsigmoid(settings.beta * gain).mean()

    def _log_ratio(self, some: Trajectories) -> torch.Tensor:
        """Log of the clipped ratio of likelihoods, tuned over frozen, (B,)."""
        given = (self.shop.generator, some.first, some.last, self.shop.table[some.groups])
        with torch.no_grad(), self.shop.tuned.off():
            frozen = second_log_prob(*given)
        clip = self.settings.clip_range
        return (second_log_prob(*given) - frozen).exp().clamp(1 - clip, 1 + clip).log()


def pairs(scores: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (better, worse) of the neighbours of one group whose scores differ."""
    here = torch.nonzero((groups[:-1] == groups[1:]) & (scores[:-1] != scores[1:]))[:, 0]
    first_wins = scores[here] > scores[here + 1]
    return torch.where(first_wins, here, here + 1), torch.where(first_wins, here + 1, here)
