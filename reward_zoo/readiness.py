"""Can a reward run on this machine? Answered from its card, without importing what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from reward_zoo.card import RewardCard, Weights
from reward_zoo.isolation.environment import Environment, find_uv
from reward_zoo.weights import is_local

State = Literal["ready", "missing package", "missing environment", "missing weights"]


@dataclass(frozen=True)
class Readiness:
    """A reward's state and, if it is not ready, what to do about each thing that is missing."""

    name: str
    state: State
    remedies: tuple[str, ...] = ()


def readiness(card: RewardCard) -> Readiness:
    """What the card's packages and weights say; nothing is imported, fetched or loaded."""
    absent = [name for name in card.requires if find_spec(name) is None]
    if absent:
        remedy = f'pip install "lasro[{card.extra}]"' if card.extra else f"pip install {' '.join(absent)}"
        return Readiness(card.name, "missing package", (f"{', '.join(absent)}: {remedy}",))
    environment = Environment(card.requirements, card.python)
    if not environment.is_built:
        uv = "" if find_uv() else "pip install uv; "
        remedy = f"built on first use, or now by {uv}lasro rewards prepare {card.name}"
        return Readiness(card.name, "missing environment", (f"{', '.join(card.requirements)}: {remedy}",))
    missing = [weights for weights in card.weights if not weights.optional and not _present(weights)]
    if missing:
        return Readiness(card.name, "missing weights", tuple(map(_remedy, missing)))
    return Readiness(card.name, "ready")


def _present(weights: Weights) -> bool:
    """Nothing is fetched to find out."""
    if weights.in_package:
        return find_spec(weights.source.split()[0]) is not None
    return is_local(weights.source, weights.file)


def _remedy(weights: Weights) -> str:
    size = f"{weights.bytes / 1e9:.1f} GB" if weights.bytes >= 1e9 else f"{weights.bytes / 1e6:.0f} MB"
    if weights.in_package:
        return f"{weights.file} ({size}): {weights.place_by_hand}"
    return f"{weights.source}: {weights.file} ({size}): fetched on first use, or put it at {weights.place_by_hand}"
