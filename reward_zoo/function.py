"""A plain function as a reward: it gets only the arguments it names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from reward_zoo.card import RewardCard
from reward_zoo.errors import SpecError
from reward_zoo.reward import Reward, RewardInputs

NEED_OF = {"prompts": "prompt", "targets": "target", "metadata": "metadata", "references": "reference"}  # by argument
ARGUMENTS = ("images", *NEED_OF)


class FunctionReward(Reward):
    """Wraps `function(images, prompts, targets, metadata, references)`, or any subset of these by name.

    Unless a card is given, one is made from the signature: all but `images` that have no default are needs.
    """

    written: ClassVar[str] = "as FILE.py:FUNCTION or MODULE:ATTRIBUTE"
    card = RewardCard(
        name="callable",
        summary="a function or class of your own: my_rewards.py:left_dark, my_package.rewards:left_dark",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        source="yours; lasro rewards new NAME writes a starter",
        license="the user's own",
    )

    def __init__(self, function: Callable[..., Any], *, name: str, card: RewardCard | None = None) -> None:
        parameters = inspect.signature(function).parameters
        unknown = [p.name for p in parameters.values() if p.name not in ARGUMENTS and p.default is p.empty]
        if unknown or "images" not in parameters:
            raise SpecError(
                f"{name}: a reward function takes 'images' and, of its choice, {', '.join(ARGUMENTS[1:])}; "
                f"this one asks for ({', '.join(parameters)})"
            )
        self.function = function
        self.arguments = [argument for argument in ARGUMENTS if argument in parameters]
        required = [p for p in parameters.values() if p.default is p.empty]
        self.card = card or RewardCard(
            name=name,
            summary=(inspect.getdoc(function) or "a user's own function").splitlines()[0],
            range=(float("-inf"), float("inf")),
            typical=(0.0, 1.0),
            source=inspect.getsourcefile(function) or "a user's own function",
            license="the user's own",
            needs=tuple(NEED_OF[p.name] for p in required if p.name in NEED_OF),
        )

    def score(self, inputs: RewardInputs) -> Any:  # noqa: ANN401 - checked by Reward.__call__
        """Call the function with what it asked for; the images are a copy, for people write into what they get."""
        given = {argument: getattr(inputs, argument) for argument in self.arguments}
        return self.function(**given | {"images": inputs.images.clone()})
