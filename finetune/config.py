"""Settings of fine-tuning, with their checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from finetune.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a generator climbs a surrogate.

    Raises:
        ConfigError: a value out of its range; the message names the flag.
    """

    steps: int = 120  # generator steps
    batch_size: int = 16  # prompts a generator step
    learning_rate: float = 6e-4
    ema_decay: float = 0.9  # of the averaged LoRA, which is what is validated and exported
    lora_rank: int = 16
    lora_targets: Literal["attention", "all"] = "all"
    z1_weight: float = 0.5  # c1: the one-step image's share of the objective
    z2_weight: float = 1.0  # c2: the two-step image's
    anchor_band: float = 0.025  # distance to the frozen generator that the anchor holds, as a share of x0's variance
    anchor_band_max: float = 0.12  # how far the band may widen while the surrogate stays accurate
    trust_accuracy: float = 0.6  # pairwise accuracy on fresh samples below which the band does not widen
    adapt_every: int = 4  # generator steps between adaptations of the surrogate
    adapt_prompts: int = 8  # fresh prompts an adaptation labels, two noises each, z1 and z2
    adapt_steps: int = 2  # surrogate steps an adaptation
    adapt_learning_rate: float | None = None  # None: a quarter of what suits the surrogate's network
    replay_size: int = 4096  # fresh labels kept
    evaluate_every: int = 20
    validation_samples: int = 96  # fixed prompts and seeds, apart from the test prompts, that pick the best checkpoint
    max_grad_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("steps", "batch_size", "lora_rank", "adapt_every", "adapt_prompts", "evaluate_every", "replay_size")
        for name in (*positive, "validation_samples", "learning_rate", "anchor_band", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be above 0")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"--ema-decay {self.ema_decay}: must be at least 0 and below 1; 0 exports the last step")
        if self.adapt_steps < 0:
            raise ConfigError(f"--adapt-steps {self.adapt_steps}: must not be negative; 0 freezes the surrogate")
        if self.anchor_band_max < self.anchor_band:
            raise ConfigError(f"--anchor-band-max {self.anchor_band_max}: is below --anchor-band {self.anchor_band}")
        if self.z1_weight < 0 or self.z2_weight < 0 or self.z1_weight + self.z2_weight == 0:
            raise ConfigError("--z1-weight, --z2-weight: must not be negative, nor both 0")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)
