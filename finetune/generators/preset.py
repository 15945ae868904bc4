"""Presets: how a generator samples in one and two steps, as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from finetune.errors import GeneratorError

Sampler = Literal["lcm", "ddim", "euler", "euler_ancestral"]
_SCHEDULERS: dict[str, Sampler] = {
    "LCMScheduler": "lcm",
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral",
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Where a pipeline is and how it is sampled; see presets.yaml."""

    name: str
    source: str
    times: tuple[int, int] = (999, 499)
    sampler: Sampler = "lcm"
    bf16: bool = False
    extra_steps: int = 0
    prompts: str | None = None
    eval_prompts: str | None = None

    def __post_init__(self) -> None:
        first, second = self.times
        if not 0 <= second < first <= 999:
            raise GeneratorError(f"preset {self.name}: times={list(self.times)} must fall, within [0, 999]")


@cache
def presets() -> dict[str, Preset]:
    """The shipped presets, by name."""
    table = yaml.safe_load((Path(__file__).parent / "presets.yaml").read_text())
    return {name: Preset(name=name, **{**row, "times": tuple(row["times"])}) for name, row in table.items()}


def preset_for(source: str, scheduler: object) -> Preset:
    """A preset for a pipeline that has none: its scheduler says how noise is put back.

    Raises:
        GeneratorError: a scheduler with no two-step form here.
    """
    kind = type(scheduler).__name__
    if kind not in _SCHEDULERS:
        raise GeneratorError(f"generator {source}: scheduler {kind} is not known; use one of {', '.join(sorted(_SCHEDULERS))}")
    return Preset(name=source, source=source, sampler=_SCHEDULERS[kind])
