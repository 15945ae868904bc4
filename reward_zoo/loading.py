"""Spec → reward."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from reward_zoo.composite import AGGREGATIONS, Composite, Member
from reward_zoo.errors import SpecError
from reward_zoo.options import typed_options
from reward_zoo.registry import find_factory, reward_factory
from reward_zoo.reward import Reward
from reward_zoo.serving.client import Remote
from reward_zoo.spec import NamedSpec, ObjectSpec, RemoteSpec, parse_composite, parse_spec
from reward_zoo.user_code import load_attribute


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
    if isinstance(parsed, RemoteSpec):
        return Remote(*parsed.urls)
    if isinstance(parsed, ObjectSpec):
        target = load_attribute(parsed.where, parsed.attribute)
        return target if isinstance(target, Reward) else reward_factory(target, name=parsed.attribute)()
    factory = find_factory(parsed.name)
    if written := getattr(factory, "written", ""):
        raise SpecError(f"{parsed.name}: is written {written}")
    return factory(**typed_options(factory, _options(parsed, factory), f"reward {parsed.name}"))


def _options(parsed: NamedSpec, factory: Callable[..., Reward]) -> dict[str, str]:
    """The options, the argument among them under its name."""
    name = getattr(factory, "argument", "")
    if parsed.argument and not name:
        raise SpecError(f"reward {parsed.name}: option {parsed.argument!r} is not name=value")
    given = {**({name: parsed.argument} if parsed.argument else {}), **parsed.options}
    named = [p for p in inspect.signature(factory).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    missing = [p.name.rstrip("_") for p in named if p.default is p.empty and p.name.rstrip("_") not in given]
    if missing and isinstance(factory, type):
        example = f"{parsed.name}:{name.upper() or 'option=value'}" + "".join(f"?{key}=…" for key in missing if key != name)
        raise SpecError(f"reward {parsed.name}: {' and '.join(missing)} must be given; write {example}")
    return given


def absolute_spec(spec: str) -> str:
    """The same spec, with paths of a user's Python files made absolute, so that a run folder can find them again."""
    if (several := parse_composite(spec, AGGREGATIONS)) is not None:
        members = "+".join(f"{weight:g}*{absolute_spec(part)}" for weight, part in several.members)
        return f"{several.aggregation}({members})"
    parsed = parse_spec(spec)
    if isinstance(parsed, ObjectSpec) and parsed.where.endswith(".py"):
        return _absolute(f"{parsed.where}:{parsed.attribute}")
    for value in parsed.options.values() if isinstance(parsed, NamedSpec) else ():
        spec = spec.replace(value, _absolute(value)) if ".py:" in value else spec
    return spec


def _absolute(place: str) -> str:
    """FILE.py:NAME from the root."""
    file, _, attribute = place.rpartition(":")
    return f"{Path(file).resolve()}:{attribute}"
