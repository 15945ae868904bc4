"""The pair that the embedded generator paints: of one prompt and many seeds, what a reward likes best and least."""

from __future__ import annotations

from PIL import Image

from reward_zoo import Reward

SEEDS = 24


def painted_pair(prompt: str, reward: Reward) -> tuple[Image.Image, Image.Image]:
    """Two-step pictures of `tiny-signs`, 32×128: the best and the worst of seeds 0 to 23 by the reward."""
    from finetune.generators.pipeline import load_generator
    from reward_zoo.images import to_uint8

    generator = load_generator("tiny-signs", "cpu")
    rollout = generator.rollout(prompts=[prompt] * SEEDS, seeds=list(range(SEEDS)))
    images = generator.decode(rollout.stages[2])
    scores = reward(images=images, prompts=[prompt] * SEEDS).values
    pictures = [Image.fromarray(array) for array in to_uint8(images)]
    return pictures[int(scores.argmax())], pictures[int(scores.argmin())]
