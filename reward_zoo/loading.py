"""Spec → reward. The only place that imports a user's code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from reward_zoo.composite import AGGREGATIONS, Composite, Member
from reward_zoo.errors import SpecError, did_you_mean
from reward_zoo.options import typed_options
from reward_zoo.registry import find_factory, reward_factory
from reward_zoo.reward import Reward
from reward_zoo.spec import ObjectSpec, parse_composite, parse_spec


def load(spec: str | Reward) -> Reward:
    """Load a reward by its spec: a name, a name with options, or a function or class of the user's own.

    Raises:
        UnknownRewardError: no reward of that name.
        SpecError: the spec or an option is wrong, or the user's file cannot be imported.
        MissingWeightsError: a package or weight file is not on this machine.
    """
    if isinstance(spec, Reward):
        return spec
    if (several := parse_composite(spec, AGGREGATIONS)) is not None:
        members = [Member(part, load(part), weight) for weight, part in several.members]
        return Composite(members, aggregation=several.aggregation, spec=spec)
    parsed = parse_spec(spec)
    if isinstance(parsed, ObjectSpec):
        module = _import_file(Path(parsed.where)) if parsed.where.endswith(".py") else _import_module(parsed.where)
        if not hasattr(module, parsed.attribute):
            public = [name for name in vars(module) if not name.startswith("_")]
            raise SpecError(f"{parsed.where} has no {parsed.attribute!r}; {did_you_mean(parsed.attribute, public)}")
        target = getattr(module, parsed.attribute)
        return target if isinstance(target, Reward) else reward_factory(target, name=parsed.attribute)()
    factory = find_factory(parsed.name)
    if factory is Composite:
        raise SpecError("composite: is written by its members, as 0.7*ocr+0.3*aesthetic or min(ocr+aesthetic)")
    return factory(**typed_options(factory, parsed.options, f"reward {parsed.name}"))


def absolute_spec(spec: str) -> str:
    """The same spec, with the path of a user's file made absolute, so that a run folder can find it again."""
    if (several := parse_composite(spec, AGGREGATIONS)) is not None:
        members = "+".join(f"{weight:g}*{absolute_spec(part)}" for weight, part in several.members)
        return f"{several.aggregation}({members})"
    parsed = parse_spec(spec)
    if isinstance(parsed, ObjectSpec) and parsed.where.endswith(".py"):
        return f"{Path(parsed.where).resolve()}:{parsed.attribute}"
    return spec


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpecError(f"reward file {path}: no such file")
    spec = importlib.util.spec_from_file_location(f"lasro_user_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SpecError(f"reward file {path}: importing it raised {type(error).__name__}: {error}") from error
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise SpecError(f"reward module {name}: importing it raised {type(error).__name__}: {error}") from error
