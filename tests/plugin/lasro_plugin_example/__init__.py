"""A package with rewards for lasro."""

from reward_zoo import Reward, RewardCard


def redness(images):
    """How red the image is."""
    return images[:, 0].mean((1, 2))


class Greenness(Reward):
    """How green the image is, `power` times over."""

    card = RewardCard(
        name="greenness",
        summary="how green the image is",
        range=(0.0, 1.0),
        typical=(0.5, 0.2),
        source="an example",
        license="Apache-2.0",
        differentiable=True,
    )

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def score(self, inputs):
        """Mean green to the power."""
        return inputs.images[:, 1].mean((1, 2)) ** self.power
