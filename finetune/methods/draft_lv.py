"""DRaFT-LV (Clark et al., arXiv 2309.17400): the reward's gradient through the last step alone, averaged over its noises.

For rewards that have a gradient. Everything before the last step is taken without one; `noises` fresh noises are put back and
each goes through the last step, which lowers the variance of the gradient at the price of as many decodings and reward calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from finetune.config import above_zero
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.pixel_reward import needs_gradient, normalised_reward
from finetune.trajectories import needs_fresh_noise
from surrogate.seeding import stream


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the last step.

    Raises:
        ConfigError: a value out of its range.
    """

    noises: int = 2  # n of the source

    def __post_init__(self) -> None:
        above_zero(self, ("noises",))


class Method(Base):
    """The last step's gradient."""

    learning_rate = 1e-4

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        needs_gradient(shop, "draft-lv")
        needs_fresh_noise(shop.generator, "draft-lv")

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """One batch of prompts, `noises` last steps each."""
        shop, generator, noises = self.shop, self.shop.generator, self.settings.noises
        rng = stream(shop.config.seed, "draft-lv", step)
        (first, second), count = generator.preset.times, shop.config.batch_size
        for _ in range(shop.config.gradient_accumulation_steps):
            groups = torch.randint(0, len(shop.prompts), (count,), generator=rng)
            start = torch.randn((count, *shop.latent_shape), generator=rng).to(generator.device)
            fresh = torch.randn((count * noises, *shop.latent_shape), generator=rng).to(generator.device)
            with torch.no_grad():
                z1, seen = generator.x0(generator.inputs_first(start), first, shop.table[groups])
                again = [value.repeat_interleave(noises, dim=0) for value in (z1, seen)]
                noisy = generator.inputs_second(*again, fresh)
            groups = groups.repeat_interleave(noises)
            z2, _ = generator.x0(noisy, second, shop.table[groups])
            reward, raw = normalised_reward(shop, z2, groups)
            self.metrics = {"batch_reward": raw}
            yield -reward.mean()
