"""Spec → reward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from reward_zoo.card import RewardCard
from reward_zoo.composite import AGGREGATIONS, Composite, Member
from reward_zoo.errors import LasroError, SpecError
from reward_zoo.isolation.environment import Environment
from reward_zoo.isolation.reward import Isolated
from reward_zoo.isolation.script import environment_of_file
from reward_zoo.options import typed_options
from reward_zoo.registry import card_of, checked_card, find_factory, reward_factory
from reward_zoo.reward import Reward
from reward_zoo.serving.client import Remote
from reward_zoo.spec import ISOLATED, IsolatedSpec, NamedSpec, ObjectSpec, RemoteSpec, parse_composite, parse_spec
from reward_zoo.user_code import load_attribute

Given = str | Reward | type[Reward] | Callable[..., Any]  # what stands for a reward: a spec, or the thing itself


def load(spec: Given) -> Reward:
    """Load a reward by its spec: a name, a name with options, or a function or class of the user's own, which may stand itself.

    Raises:
        UnknownRewardError: no reward of that name.
        SpecError: the spec or an option is wrong, or the user's file cannot be imported, or their class cannot be built.
        MissingWeightsError: a package or weight file is not on this machine.
        BuildError: the environment of its own that it asks for cannot be built.
        NoAnswerError: no server answers, or the reward's own process ended.
    """
    if isinstance(spec, Reward):
        return spec
    if callable(spec):
        return _built(ObjectSpec(spec.__module__, spec.__name__), spec)
    if (several := parse_composite(spec, AGGREGATIONS)) is not None:
        members = [Member(part, load(part), weight) for weight, part in several.members]
        return Composite(members, aggregation=several.aggregation, spec=spec)
    parsed = parse_spec(spec)
    if isinstance(parsed, RemoteSpec):
        return Remote(*parsed.urls)
    if isinstance(parsed, IsolatedSpec):
        return _isolated(parsed.spec, environment_of(spec))
    target = _target(parsed)
    environment = _named_on_the_card(parsed, target)
    return _isolated(spec.strip(), environment) if environment.separate else _built(parsed, target)


def load_here(spec: str) -> Reward:
    """`load` in this very process, also if the reward asks for an environment of its own: this is it.

    Raises:
        RewardError: as `load`.
    """
    parsed = parse_spec(spec)
    return _built(parsed, _target(parsed))


def environment_of(spec: str) -> Environment:
    """The environment that a reward runs in: the one its card names, or, of `isolated:FILE.py:NAME`, the file's script block.

    Where nothing is named, it is this process's own.

    Raises:
        RewardError: as `load`.
    """
    parsed = parse_spec(spec)
    asked = isinstance(parsed, IsolatedSpec)
    parsed = parse_spec(parsed.spec) if asked else parsed
    if isinstance(parsed, RemoteSpec):
        return Environment()
    if asked and isinstance(parsed, ObjectSpec):
        return environment_of_file(Path(parsed.where)) if parsed.where.endswith(".py") else Environment()
    return _named_on_the_card(parsed, _target(parsed))


def _target(parsed: NamedSpec | ObjectSpec) -> Any:  # noqa: ANN401 - a factory, or whatever the user wrote
    if isinstance(parsed, ObjectSpec):
        return load_attribute(parsed.where, parsed.attribute)
    return find_factory(parsed.name)


def _named_on_the_card(parsed: NamedSpec | ObjectSpec, target: Any) -> Environment:  # noqa: ANN401
    card = getattr(target, "card", None) if isinstance(parsed, ObjectSpec) else card_of(parsed.name)
    return Environment(card.requirements, card.python) if isinstance(card, RewardCard) else Environment()


def _built(parsed: NamedSpec | ObjectSpec, target: Any) -> Reward:  # noqa: ANN401
    if isinstance(target, Reward) and parsed.options:
        raise SpecError(f"reward {parsed.name}: is a reward already, no class; leave out {', '.join(parsed.options)}")
    reward = target if isinstance(target, Reward) else _constructed(parsed, target)
    checked_card(reward, parsed.name)
    return reward


def _constructed(parsed: NamedSpec | ObjectSpec, target: Any) -> Reward:  # noqa: ANN401
    """What is wrong with a person's own class is said in one line; what is wrong with lasro's is a traceback."""
    factory = reward_factory(target, name=parsed.attribute) if isinstance(parsed, ObjectSpec) else target
    if inspect.isabstract(factory):
        raise SpecError(f"reward {parsed.name}: its class lacks score; write def score(self, inputs), one number an image")
    try:
        return factory(**_typed(parsed, factory))
    except LasroError:
        raise
    except Exception as error:
        if isinstance(parsed, NamedSpec) and factory.__module__.startswith("reward_zoo."):
            raise
        said = f"{type(error).__name__}: {error}"
        raise SpecError(f"reward {parsed.name}: building it raised {said}; mend its __init__ or its options") from error


def _isolated(spec: str, environment: Environment) -> Reward:
    parsed = parse_spec(spec)
    if isinstance(parsed, NamedSpec):
        _typed(parsed, find_factory(parsed.name))  # a mistake costs no process
    return Isolated(absolute_spec(spec), environment, f"{ISOLATED}{spec}")


def _typed(parsed: NamedSpec | ObjectSpec, factory: Callable[..., Reward]) -> dict[str, Any]:
    """The options as the factory takes them."""
    if written := getattr(factory, "written", ""):
        raise SpecError(f"{parsed.name}: is written {written}")
    return typed_options(factory, _options(parsed, factory), f"reward {parsed.name}")


def _options(parsed: NamedSpec | ObjectSpec, factory: Callable[..., Reward]) -> dict[str, str]:
    """The options, the argument among them under its name."""
    name = getattr(factory, "argument", "") if isinstance(parsed, NamedSpec) else ""
    if parsed.argument and not name:
        raise SpecError(f"reward {parsed.name}: option {parsed.argument!r} is not name=value")
    given = {**({name: parsed.argument} if parsed.argument else {}), **parsed.options}
    named = [p for p in inspect.signature(factory).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    missing = [p.name.rstrip("_") for p in named if p.default is p.empty and p.name.rstrip("_") not in given]
    if missing and isinstance(factory, type):
        first, rest = (f"{name.upper()}?", [key for key in missing if key != name]) if name else ("", missing)
        example = f"{parsed.name}:{first}{','.join(f'{key}=…' for key in rest)}".rstrip("?")
        raise SpecError(f"reward {parsed.name}: {' and '.join(missing)} must be given; write {example}")
    return given


def specs_within(spec: str, *, known: Collection[str] = ()) -> list[str]:
    """The specs that scores are kept by: of a composite, its members; nothing is loaded.

    Raises:
        RewardError: one is not among the `known` and is no spec, or there is no reward of that name.
    """
    several = parse_composite(spec, AGGREGATIONS)
    parts = [part for _, part in several.members] if several else [spec]
    for part in parts:
        if part not in known and isinstance(parsed := parse_spec(part), NamedSpec):
            find_factory(parsed.name)
    return list(dict.fromkeys(parts))


def spec_of(given: Given) -> str:
    """How a run notes down what it was given: a spec as it is; a file's function or class as FILE.py:NAME; else a name.

    What has a name alone cannot be loaded again by others; give it again where it is asked for.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, Reward):
        return given.card.name
    file, name = inspect.getsourcefile(given), given.__qualname__
    return f"{Path(file).resolve()}:{name}" if file and name.isidentifier() and Path(file).suffix == ".py" else given.__name__


def absolute_spec(spec: str) -> str:
    """The same spec, with paths of a user's Python files made absolute, so that a run folder can find them again."""
    if (several := parse_composite(spec, AGGREGATIONS)) is not None:
        members = "+".join(f"{weight:g}*{absolute_spec(part)}" for weight, part in several.members)
        return f"{several.aggregation}({members})"
    parsed = parse_spec(spec)
    if isinstance(parsed, IsolatedSpec):
        return ISOLATED + absolute_spec(parsed.spec)
    if isinstance(parsed, ObjectSpec) and parsed.where.endswith(".py"):
        spec = _absolute(parsed.name) + spec.strip().removeprefix(parsed.name)
    for value in parsed.options.values() if isinstance(parsed, NamedSpec | ObjectSpec) else ():
        spec = spec.replace(value, _absolute(value)) if ".py:" in value else spec
    return spec


def _absolute(place: str) -> str:
    """FILE.py:NAME from the root."""
    file, _, attribute = place.rpartition(":")
    return f"{Path(file).resolve()}:{attribute}"
