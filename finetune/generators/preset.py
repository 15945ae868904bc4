"""Presets: which weights make a generator, and how it samples in one or two steps, as data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from finetune.errors import GeneratorError
from reward_zoo.errors import did_you_mean, first_line

Sampler = Literal["lcm", "tcd", "ddim", "euler", "euler_ancestral"]
LoraTargets = Literal["attention", "all"]
PredictionType = Literal["epsilon", "v_prediction", "sample"]
SUFFIXES = (".yaml", ".yml")
_SCHEDULERS: dict[str, Sampler] = {
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral",
}
_PLACES = ("source", "unet", "lora", "vae", "prompts", "eval_prompts")  # what may stand beside a preset's file


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Where a generator's weights are and how it is sampled; presets.yaml says what each field means.

    Raises:
        GeneratorError: a value that cannot be; the message names the field.
    """

    name: str
    source: str
    unet: str | None = None
    lora: str | None = None
    vae: str | None = None
    times: tuple[int, ...] = (999, 499)
    sampler: Sampler = "lcm"
    prediction_type: PredictionType | None = None
    guidance_scale: float | None = None
    image_size: tuple[int, int] | None = None  # height, width
    bf16: bool = False
    extra_steps: int = 0
    lora_targets: LoraTargets = "attention"
    learning_rate: float | None = None
    prompts: str | None = None
    eval_prompts: str | None = None

    def __post_init__(self) -> None:
        for wrong, field, why in self._rules():
            if wrong:
                value = getattr(self, field)
                said = list(value) if isinstance(value, tuple) else value
                raise GeneratorError(f"preset {self.name}: {field}={said!r} {why}")

    @property
    def num_steps(self) -> int:
        """Network calls of a sample: 1 or 2."""
        return len(self.times)

    def _rules(self) -> Iterator[tuple[bool, str, str]]:
        """Whether it is broken, the field, what is right."""
        for field in ("name", "source", *_PLACES):
            value, needed = getattr(self, field), field in ("name", "source")
            yield not (isinstance(value, str) and value) and (needed or value is not None), field, "must be text"
        times = self.times
        whole = isinstance(times, tuple) and all(type(time) is int and 0 <= time <= 999 for time in times)
        yield not whole or len(times) not in (1, 2), "times", "must be one or two whole numbers from 0 to 999"
        yield len(times) == 2 and times[1] >= times[0], "times", "must fall"
        for field, names in (
            ("sampler", get_args(Sampler)),
            ("prediction_type", (None, *get_args(PredictionType))),
            ("lora_targets", get_args(LoraTargets)),
        ):
            known = ", ".join(name for name in names if name)
            yield getattr(self, field) not in names, field, f"must be one of {known}"
        scale = self.guidance_scale
        number = scale is None or (isinstance(scale, int | float) and not isinstance(scale, bool) and 1 <= scale <= 100)
        yield not number, "guidance_scale", "must be a number from 1 (none) to 100; leave it out where nothing is embedded"
        rate = self.learning_rate
        positive = rate is None or (isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < math.inf)
        yield not positive, "learning_rate", "must be a number above 0; leave it out for the method's own"
        size = self.image_size
        sides = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        yield size is not None and not sides, "image_size", "must be a height in pixels, or [height, width]"
        yield not isinstance(self.bf16, bool), "bf16", "must be true or false"
        extra = self.extra_steps
        yield type(extra) is not int or (extra != 0 and not 3 <= extra <= 50), "extra_steps", "must be 0, or from 3 to 50"
        yield bool(extra) and len(times) == 1, "extra_steps", "must be 0 for a one-step generator"


@cache
def presets() -> dict[str, Preset]:
    """The shipped presets, by name."""
    table = yaml.safe_load((Path(__file__).parent / "presets.yaml").read_text(encoding="utf-8"))
    return {name: _preset(row, name) for name, row in table.items()}


def find_preset(name: str) -> Preset | None:
    """The shipped preset of that name, or the one that a YAML file holds; None for a pipeline folder or a hub id.

    Raises:
        GeneratorError: a YAML file that is not there, cannot be read, or holds no sound preset.
    """
    if not name.endswith(SUFFIXES):
        return presets().get(name)
    path = Path(name)
    try:
        row = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError) else first_line(error)
        raise GeneratorError(f"preset {name}: cannot be read as YAML ({reason})") from error
    return _preset(row, path.stem, path.parent)


def preset_for(source: str, scheduler: object) -> Preset:
    """A preset for a pipeline that has none: its scheduler says how noise is put back, at the times (999, 499).

    Raises:
        GeneratorError: a scheduler with no two-step form here.
    """
    kind = type(scheduler).__name__
    if kind not in _SCHEDULERS:
        raise GeneratorError(f"generator {source}: scheduler {kind} is not known; use one of {', '.join(sorted(_SCHEDULERS))}")
    return Preset(name=source, source=source, sampler=_SCHEDULERS[kind])


def _preset(row: Any, name: str, folder: Path | None = None) -> Preset:  # noqa: ANN401 - whatever YAML held
    known = [field.name for field in fields(Preset)]
    if not isinstance(row, dict):
        raise GeneratorError(f"preset {name}: must be one mapping of fields ({', '.join(known)})")
    for key in row:
        if key not in known:
            raise GeneratorError(f"preset {name}: unknown key {key!r}; {did_you_mean(str(key), known)}")
    if "source" not in row:
        raise GeneratorError(f"preset {name}: source is missing; give a pipeline folder or a hub id")
    given = {"name": name, **row}
    for field in ("times", "image_size"):
        if isinstance(given.get(field), list):
            given[field] = tuple(given[field])
    if isinstance(given.get("learning_rate"), str):
        with suppress(ValueError):  # YAML takes 1e-4 for text
            given["learning_rate"] = float(given["learning_rate"])
    if type(given.get("image_size")) is int:
        given["image_size"] = (given["image_size"],) * 2
    for field in _PLACES if folder else ():
        if isinstance(given.get(field), str) and (folder / given[field]).exists():
            given[field] = str((folder / given[field]).absolute())
    return Preset(**given)
