"""A zoo of image rewards behind one call.

>>> import reward_zoo
>>> reward_zoo.load("brightness").card.differentiable
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reward_zoo.card import RewardCard
    from reward_zoo.errors import LasroError
    from reward_zoo.loading import load
    from reward_zoo.registry import list_rewards, register
    from reward_zoo.reward import Reward, RewardInputs
    from reward_zoo.scores import Scores

__all__ = ["LasroError", "Reward", "RewardCard", "RewardInputs", "Scores", "list_rewards", "load", "register"]
# Each name is imported when it is asked for: numpy and Pillow alone would cost `lasro --help` more than all the rest.
_HOMES = {
    "LasroError": "errors",
    "Reward": "reward",
    "RewardCard": "card",
    "RewardInputs": "reward",
    "Scores": "scores",
    "list_rewards": "registry",
    "load": "loading",
    "register": "registry",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module holds
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
