"""A zoo of image rewards behind one call.

>>> import reward_zoo
>>> reward_zoo.load("brightness").card.differentiable
True
"""

from __future__ import annotations

from reward_zoo.card import RewardCard
from reward_zoo.errors import LasroError
from reward_zoo.loading import load
from reward_zoo.registry import list_rewards, register
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores

__all__ = ["LasroError", "Reward", "RewardCard", "RewardInputs", "Scores", "list_rewards", "load", "register"]
