"""Names of rewards. Built-ins and plugins are known by `"module:attribute"` and imported on first use."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from reward_zoo.card import RewardCard
from reward_zoo.errors import RewardError, SpecError, UnknownRewardError, did_you_mean
from reward_zoo.function import FunctionReward
from reward_zoo.reward import Reward
from reward_zoo.rewards import BUILTIN
from reward_zoo.user_code import load_attribute

ENTRY_POINT_GROUP = "lasro.rewards"
_registered: dict[str, Callable[..., Reward]] = {}


def register(name: str, *, card: RewardCard | None = None, override: bool = False) -> Callable[[Any], Any]:
    """Decorator: give a function or a `Reward` class a name that `load` knows.

    Raises:
        RewardError: the name is taken and `override` is not set.
    """

    def decorate(target: Any) -> Any:  # noqa: ANN401 - returns what it was given
        if not override and name in known_rewards():
            raise RewardError(f"reward name {name!r} is taken; choose another, or register(..., override=True)")
        _registered[name] = reward_factory(target, name=name, card=card)
        return target

    return decorate


def reward_factory(target: Any, *, name: str, card: RewardCard | None = None) -> Callable[..., Reward]:  # noqa: ANN401
    """What builds a reward from a `Reward` class, or wraps a plain function.

    Raises:
        SpecError: it is neither.
    """
    if isinstance(target, type) and issubclass(target, Reward):
        return target
    if isinstance(target, type) or not callable(target):
        kind = "a class of another kind" if isinstance(target, type) else f"{target!r:.40} ({type(target).__name__})"
        raise SpecError(f"reward {name}: is {kind}; give a function, or a class that inherits from reward_zoo.Reward")

    def build() -> Reward:
        return FunctionReward(target, name=name, card=card)

    return build


@cache
def _plugins() -> dict[str, str]:
    """Addresses by name of what installed packages bring; a name that is taken is warned of and left out."""
    found: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in BUILTIN or point.name in found:
            package = point.dist.name if point.dist else point.value
            warnings.warn(
                f"reward name {point.name!r} is taken; the one of {package} ({point.value}) is left out", stacklevel=2
            )
        else:
            found[point.name] = point.value
    return found


def known_rewards() -> list[str]:
    """Every name `load` knows, sorted."""
    return sorted({*BUILTIN, *_registered, *_plugins()})


def find_factory(name: str) -> Callable[..., Reward]:
    """What builds the reward called `name`.

    Raises:
        UnknownRewardError: no such name.
        RewardError: an installed package brings it, but it cannot be imported.
    """
    if name in _registered:
        return _registered[name]
    address = BUILTIN.get(name) or _plugins().get(name)
    if address is None:
        raise UnknownRewardError(f"unknown reward {name!r}; {did_you_mean(name, known_rewards())}")
    module, _, attribute = address.partition(":")
    if name in BUILTIN:
        return reward_factory(getattr(importlib.import_module(module), attribute), name=name)
    try:
        return reward_factory(load_attribute(module, attribute), name=name)
    except RewardError as error:
        raise RewardError(f"reward {name!r} of an installed package cannot be used: {error}; mend or remove it") from error


def card_of(name: str) -> RewardCard:
    """The card of a registered reward; its model is not loaded.

    Raises:
        UnknownRewardError: no such name.
        SpecError: its class has none.
    """
    factory = find_factory(name)
    return checked_card(factory if isinstance(factory, type) else factory(), name)


def checked_card(reward: Reward | type[Reward], name: str) -> RewardCard:
    """The card of a reward, or of a class of rewards, which may be a person's own.

    Raises:
        SpecError: it has none.
    """
    card = getattr(reward, "card", None)
    if not isinstance(card, RewardCard):
        raise SpecError(
            f"reward {name}: its class has no card; write card = RewardCard(name=…, summary=…, …), as lasro rewards new does"
        )
    return card


def list_rewards() -> list[RewardCard]:
    """The cards of all registered rewards, by name; what an installed package brings broken is warned of and left out."""
    cards = []
    for name in known_rewards():
        try:
            cards.append(card_of(name))
        except RewardError as error:
            if name in BUILTIN or name in _registered:
                raise
            warnings.warn(str(error), stacklevel=2)
    return cards
