"""Settings of labelling and distilling, with their checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from reward_zoo.errors import SpecError

LOSS_NAMES = ("bradley-terry-all", "bradley-terry-extremes", "listwise", "regression")


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """How a surrogate is labelled and trained.

    Raises:
        SpecError: a value out of its range; the message names the flag.
    """

    samples: int = 3200  # reward calls spent on labels: prompts x noises x stages (z1, z2 and the extra one)
    noises: int = 4  # initial noises a prompt (the paper's N_s is 6)
    extra_steps: int = 0  # also label samples of so many network calls, to know what lies beyond two steps; 0: none
    held_out: float = 0.12  # share of the prompts kept for fidelity and early stopping
    depth: Literal["encoder", "full"] = "full"
    losses: tuple[str, ...] = ("bradley-terry-all", "regression")
    hindsight: float = 0.5  # share of the rows shown under another prompt as well, where the reward perceives something
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    prompts_per_batch: int = 12
    steps: int = 600
    evaluate_every: int = 50
    patience: int = 4  # evaluations without a better one before training stops
    max_time: int = 200  # noise levels seen in training: uniform on [0, max_time)
    score_time: int = 50  # noise level at which the surrogate is asked
    label_batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "noises", "prompts_per_batch", "steps", "evaluate_every", "patience", "label_batch_size"):
            if getattr(self, name) < 1:
                raise SpecError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        if not self.losses or set(self.losses) - set(LOSS_NAMES):
            raise SpecError(f"--loss {', '.join(self.losses)}: give one or several of {', '.join(LOSS_NAMES)}")
        if self.noises < 2:
            raise SpecError(f"--noises {self.noises}: pairs need at least 2 noises a prompt")
        if self.extra_steps and not 3 <= self.extra_steps <= 50:
            raise SpecError(f"--extra-steps {self.extra_steps}: must be 0 (none) or from 3 to 50")
        if not 0 <= self.hindsight <= 1:
            raise SpecError(f"--hindsight {self.hindsight}: is a share, from 0 (off) to 1")
        if not 0 < self.held_out < 1:
            raise SpecError(f"--held-out {self.held_out}: must lie between 0 and 1")
        if not 0 <= self.score_time < self.max_time <= 1000:
            raise SpecError(f"--score-time {self.score_time}, --max-time {self.max_time}: need 0 <= score < max <= 1000")

    @property
    def stages(self) -> int:
        """Labels a (prompt, seed) pair costs."""
        return 3 if self.extra_steps else 2

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)
