"""ReFL (Xu et al., ImageReward, arXiv 2304.05977): decode, and let the reward's own gradient back through everything.

For rewards that have a gradient. A random one of the generator's steps is taken with gradient, those before it without; the
reward is normalised by its card's typical mean and spread and loses its gradient two spreads above the mean, as in the source.
In place of the source's loss on pre-training data, the data-free anchor holds the generator (`anchor_weight` times the
distance to the frozen one).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from finetune.anchor import x0_distance
from finetune.config import above_zero, named
from finetune.errors import ConfigError
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.pixel_reward import needs_gradient, normalised_reward
from finetune.trajectories import one_stage
from surrogate.seeding import stream


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the back-propagation.

    Raises:
        ConfigError: a value out of its range.
    """

    ceiling: float = 2.0  # spreads above the typical mean from which nothing is to be gained
    anchor_weight: float = 1.0

    def __post_init__(self) -> None:
        above_zero(self, ("ceiling",))
        if self.anchor_weight < 0:
            raise ConfigError(f"{named(self, 'anchor_weight')}: must not be negative; 0 holds nothing")


class Method(Base):
    """The reward's gradient, at the price of decoder and reward in memory."""

    learning_rate = 1e-4

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        needs_gradient(shop, "refl")

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """One batch through one random step."""
        shop, generator = self.shop, self.shop.generator
        rng = stream(shop.config.seed, "refl", step)
        count, steps = shop.config.batch_size, len(generator.preset.times)
        for _ in range(shop.config.gradient_accumulation_steps):
            groups = torch.randint(0, len(shop.prompts), (count,), generator=rng)
            chosen = int(torch.randint(0, steps, (1,), generator=rng))
            conditioning, shape = shop.table[groups], (count, *shop.latent_shape)
            noises = torch.randn((2, *shape), generator=rng)
            seen, x0 = one_stage(generator, *noises, conditioning, chosen)
            with torch.no_grad(), shop.tuned.off():
                frozen, _ = generator.x0(*seen, conditioning)
            reward, raw = normalised_reward(shop, x0, groups)
            distance = x0_distance(x0, frozen)
            self.metrics = {"batch_reward": raw, "distance": distance.item()}
            yield F.relu(self.settings.ceiling - reward).mean() + self.settings.anchor_weight * distance
