"""A zoo of image rewards behind one call.

>>> import reward_zoo
>>> reward_zoo.load("brightness").card.differentiable
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.lazily import lazily

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


__getattr__, __dir__ = lazily(__name__, _HOMES)
