"""LaSRO (Jia et al., CVPR 2025, arXiv 2411.15247): climb a surrogate of the reward in latent space, and keep it honest.

Generator steps on −(c1·S[R(z1)] + c2·S[R(z2)]) + anchor alternate with surrogate steps on fresh labels in a replay buffer.
Where it differs from the paper: the anchor needs no data (a trust region around the frozen generator in place of the LCM
loss, see finetune/anchor.py), pictures of one prompt are kept different (finetune/variety.py), the surrogate may perceive and
be taught by hindsight, and scores are clipped at the highest that the reward can give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from finetune.adaptation import Adapter
from finetune.anchor import TrustRegion, x0_distance
from finetune.config import above_zero, named
from finetune.errors import ConfigError
from finetune.lcm_anchor import lcm_loss
from finetune.method import Method as Base
from finetune.method import Workshop
from finetune.objective import NormaliseAndClip
from finetune.trajectories import Input, one_stage, trajectory
from finetune.variety import Variety
from reward_zoo.devices import quick
from surrogate.seeding import stream
from surrogate.types import TextConditioning


@dataclass(frozen=True, kw_only=True)
class Settings:
    """LaSRO's own.

    Raises:
        ConfigError: a value out of its range.
    """

    z1_weight: float = 0.5  # c1: the one-step image's share of the objective
    z2_weight: float = 1.0  # c2: the two-step image's
    anchor: bool = True  # off: nothing holds the generator near the frozen one
    anchor_band: float = 0.025  # distance to the frozen generator that the anchor holds, as a share of x0's variance
    anchor_band_max: float = 0.12  # how far the band may widen while the surrogate stays accurate
    trust_accuracy: float = 0.6  # pairwise accuracy on fresh samples below which the band does not widen
    variety_weight: float = 4.0  # of what two pictures of a prompt lose of their difference; 0: not asked
    variety_share: float = 0.9  # of the frozen generator's difference that they must keep
    variety_pairs: int = 4  # prompts of a step that are painted twice for it
    lcm_weight: float = 0.0  # c: of the LCM loss on real pictures (the paper's: 500); 0: not asked
    off_policy: bool = True  # off: one start noise a prompt, the fresh noise alone varies
    one_stage: bool = False  # on: half of a step's prompts are asked at z1, the others at z2, at half the cost
    adapt_every: int = 4  # generator steps between adaptations of the surrogate; 0: never, and no reward call
    adapt_prompts: int = 8  # fresh prompts an adaptation labels, two noises each, z1 and z2
    adapt_steps: int = 4  # surrogate steps an adaptation
    adapt_learning_rate: float | None = None  # None: a quarter of what suits the surrogate's network, and 1e-4 at most
    replay_size: int = 4096  # fresh labels kept

    def __post_init__(self) -> None:
        above_zero(self, ("anchor_band", "adapt_prompts", "replay_size", "adapt_learning_rate", "variety_pairs"))
        if self.lcm_weight < 0:
            raise ConfigError(f"{named(self, 'lcm_weight')}: must not be negative; 0 leaves the LCM loss out")
        if self.variety_weight < 0:
            raise ConfigError(f"{named(self, 'variety_weight')}: must not be negative; 0 lets pictures of a prompt come alike")
        if not 0 < self.variety_share <= 1:
            raise ConfigError(f"{named(self, 'variety_share')}: must be above 0 and at most 1, as a share of the difference")
        if self.adapt_steps < 0 or self.adapt_every < 0:
            name = "adapt_steps" if self.adapt_steps < 0 else "adapt_every"
            raise ConfigError(f"{named(self, name)}: must not be negative; 0 freezes the surrogate")
        if self.anchor_band_max < self.anchor_band:
            raise ConfigError(f"{named(self, 'anchor_band_max')}: is below {named(self, 'anchor_band')}")
        if self.z1_weight < 0 or self.z2_weight < 0 or self.z1_weight + self.z2_weight == 0:
            raise ConfigError(f"{named(self, 'z1_weight')}, {named(self, 'z2_weight')}: must not be negative, nor both 0")


class Method(Base):
    """The two co-trained models: the generator, whose losses these are, and the surrogate."""

    needs_surrogate = True
    learning_rate = 1e-4
    lr_scheduler = "cosine"  # steps that stay large wander off where the surrogate is wrong (benchmarks/LOG.md)

    def __init__(self, shop: Workshop, settings: Settings) -> None:
        super().__init__(shop, settings)
        if (settings.lcm_weight > 0) != (shop.pictures is not None):
            raise ConfigError(f"{named(settings, 'lcm_weight')}: goes together with real pictures (--images); give both")
        if settings.one_stage and shop.config.batch_size < shop.generator.num_steps:
            raise ConfigError(
                f"{named(settings, 'one_stage')}: shares a step's prompts between z1 and z2; give --batch-size 2 or more"
            )
        self.surrogate = shop.critic.surrogate.requires_grad_(False).eval().to(shop.generator.device)
        if getattr(shop.generator.unet, "is_gradient_checkpointing", False):
            self.surrogate.checkpoint_gradients()
        self.adapter = Adapter(shop, settings)
        self.variety = Variety(shop.generator, settings.variety_share)
        self.trust = TrustRegion(settings.anchor_band, settings.anchor_band_max)
        highest = shop.meter.reward.card.range[1]
        self.objectives = (NormaliseAndClip(highest=highest), NormaliseAndClip(highest=highest))

    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """A generator step; then, every few of them, an adaptation of the surrogate."""
        config, settings = self.shop.config, self.settings
        rng = stream(config.seed, "generator", step)
        for _ in range(config.gradient_accumulation_steps):
            yield self._loss(rng)
            self.trust.update(self.metrics["distance"])
        if settings.adapt_every and step % settings.adapt_every == 0:
            self.metrics |= self.adapter.step(step)
            self.trust.widen(self.adapter.accuracy, trusted=settings.trust_accuracy)

    def _loss(self, rng: torch.Generator) -> torch.Tensor:
        settings, generator, count = self.settings, self.shop.generator, self.shop.config.batch_size
        groups = torch.randint(0, len(self.shop.prompts), (count,), generator=rng)
        conditioning = self.shop.table[groups]
        shape = (count, *self.shop.latent_shape)
        start = torch.randn(shape, generator=rng) if settings.off_policy else self._own_noises(groups)
        fresh = torch.randn(shape, generator=rng)
        rows, inputs, outputs = zip(*self._stages(start, fresh, conditioning), strict=True)
        asked = [conditioning[some] for some in rows]
        with torch.no_grad(), self.shop.tuned.off():
            frozen = [generator.x0(*one, some)[0] for one, some in zip(inputs, asked, strict=True)]
        distance = sum(x0_distance(z, before) for z, before in zip(outputs, frozen, strict=True)) / len(outputs)
        with quick(outputs[0].device, self.shop.critic.distilled.bf16):
            scores = [self.surrogate.score(z, some, rng=rng) for z, some in zip(outputs, asked, strict=True)]
        weights = (settings.z1_weight, settings.z2_weight)
        parts = zip(weights, self.objectives, scores, strict=False)  # a one-step generator has no z2
        gain = sum(weight * objective(score).mean() for weight, objective, score in parts)
        self.metrics = {
            **{f"surrogate_z{number}": score.mean().item() for number, score in enumerate(scores, 1)},
            "distance": distance.item(),
            "band": self.trust.band,
            "anchor_weight": self.trust.weight,
        }
        loss = self.trust.penalty(distance) - gain if settings.anchor else -gain
        if settings.variety_weight:
            last = rows[-1]
            loss = loss + settings.variety_weight * self._alike(start[last], fresh[last], outputs[-1], asked[-1], rng)
        if settings.lcm_weight:
            extra = lcm_loss(generator, self.shop.tuned, self.shop.pictures, count, rng)
            self.metrics["lcm_loss"] = extra.item()
            loss = loss + settings.lcm_weight * extra
        return loss

    def _stages(
        self, start: torch.Tensor, fresh: torch.Tensor, conditioning: TextConditioning
    ) -> Iterator[tuple[slice, Input, torch.Tensor]]:
        """Rows, input and output of every step of the generator: all rows at each, or with `one_stage` each row at one."""
        generator, number = self.shop.generator, self.shop.generator.num_steps
        if not self.settings.one_stage:
            yield from zip([slice(None)] * number, *trajectory(generator, start, fresh, conditioning), strict=True)
            return
        for stage in range(number):
            rows = slice(stage, None, number)
            yield rows, *one_stage(generator, start[rows], fresh[rows], conditioning[rows], stage)

    def _alike(
        self,
        start: torch.Tensor,
        fresh: torch.Tensor,
        last: torch.Tensor,
        conditioning: TextConditioning,
        rng: torch.Generator,
    ) -> torch.Tensor:
        """What the first prompts' last latents, and others of the same prompts, have lost of their difference."""
        generator, rows = self.shop.generator, slice(self.settings.variety_pairs)
        own, conditioning = (start[rows], fresh[rows]), conditioning[rows]
        others = tuple(torch.randn(start[rows].shape, generator=rng) for _ in own)
        stage = generator.num_steps - 1
        theirs = one_stage(generator, *others, conditioning, stage)[1]
        with torch.no_grad(), self.shop.tuned.off():
            frozen = tuple(one_stage(generator, *noises, conditioning, stage)[1] for noises in (own, others))
        lost, self.metrics["variety"] = self.variety((last[rows], theirs), frozen, rng)
        return lost

    def _own_noises(self, groups: torch.Tensor) -> torch.Tensor:
        seed, shape = self.shop.config.seed, self.shop.latent_shape
        return torch.stack([torch.randn(shape, generator=stream(seed, "own noise", group)) for group in groups.tolist()])

    @property
    def promised(self) -> float:
        """The surrogate's mean score of the last batch's final images."""
        return self.metrics.get("surrogate_z2", self.metrics.get("surrogate_z1", float("nan")))

    def state(self) -> dict[str, Any]:
        """Surrogate, its optimiser, replay buffer, trust region and the objectives' statistics."""
        return {
            "surrogate": self.surrogate.state_dict(),
            "adapter": self.adapter.state(),
            "trust": asdict(self.trust),
            "objectives": [asdict(objective) for objective in self.objectives],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.surrogate.load_state_dict(state["surrogate"])
        self.adapter.load_state(state["adapter"])
        self.trust = TrustRegion(**state["trust"])
        self.objectives = tuple(NormaliseAndClip(**kept) for kept in state["objectives"])
