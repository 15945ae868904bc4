"""Settings of fine-tuning that all methods share, with their checks; a method's own stand beside it (`Settings`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from finetune.errors import ConfigError

LoraTargets = Literal["attention", "all"]
Tune = Literal["lora", "full"]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a generator is tuned, whatever the method.

    Raises:
        ConfigError: a value out of its range; the message names the flag.
    """

    method: str = "lasro"
    steps: int = 200
    batch_size: int = 16  # prompts a step
    gradient_accumulation_steps: int = 1  # losses the weights wait for before they take a step
    learning_rate: float | None = None  # None: trainer.default_learning_rate
    lr_scheduler: Schedule | None = None  # over all steps; cosine falls to a twentieth; None: the method's own
    ema_decay: float = 0.9  # of the averaged weights, which are what is validated and exported
    tune: Tune = "lora"  # full: every weight of the UNet
    lora_rank: int = 16
    lora_targets: LoraTargets | None = None  # None: the preset's
    evaluate_every: int = 20
    validation_samples: int = 96  # fixed prompts and seeds, apart from the test prompts, that pick the best checkpoint
    max_reward_calls: int | None = None  # stop when training and validation have asked so often
    max_grad_norm: float = 1.0
    keep: int = 1  # checkpoints kept
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("steps", "batch_size", "lora_rank", "evaluate_every", "validation_samples", "max_grad_norm", "keep")
        above_zero(self, (*positive, "gradient_accumulation_steps", "learning_rate", "max_reward_calls"))
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"--ema-decay {self.ema_decay}: must be at least 0 and below 1; 0 exports the last step")
        one_of(self, "tune", get_args(Tune))
        one_of(self, "lr_scheduler", (*get_args(Schedule), None))
        one_of(self, "lora_targets", (*get_args(LoraTargets), None))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How labels are split, and how the generator is tuned between two parts.

    Raises:
        ConfigError: a value out of its range.
    """

    rounds: int = 1  # equal parts of the labels; 1: all of the generator as it is
    drift_steps: int = 100  # of tuning between two parts
    drift_learning_rate: float | None = None  # None: that of `lasro finetune`

    def __post_init__(self) -> None:
        above_zero(self, ("rounds", "drift_steps", "drift_learning_rate"))


def above_zero(settings: object, names: Iterable[str]) -> None:
    """See that numbers, where they are given, are positive.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{named(settings, name)}: must be above 0")


def one_of(settings: object, name: str, choices: Iterable[str | None]) -> None:
    """See that a setting is one of its choices.

    Raises:
        ConfigError: it is not.
    """
    if getattr(settings, name) not in choices:
        raise ConfigError(f"{named(settings, name)}: must be one of {', '.join(filter(None, choices))}")


def named(settings: object, name: str) -> str:
    """A setting with its value, as a person gives it: flags are for all methods, `--set` for one's own."""
    value = getattr(settings, name)
    return f"--{name.replace('_', '-')} {value}" if isinstance(settings, FinetuneConfig | Rounds) else f"--set {name}={value}"
