"""Spec → reward."""

from __future__ import annotations

from pathlib import Path

from reward_zoo.composite import AGGREGATIONS, Composite, Member
from reward_zoo.errors import SpecError
from reward_zoo.options import typed_options
from reward_zoo.registry import find_factory, reward_factory
from reward_zoo.reward import Reward
from reward_zoo.spec import ObjectSpec, parse_composite, parse_spec
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
    if isinstance(parsed, ObjectSpec):
        target = load_attribute(parsed.where, parsed.attribute)
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
