"""What diversity means on tiny-signs: how real signs of one prompt differ, and what the generator paints in 2, 8 and 25 steps.

    python -m benchmarks.diversity [--adapter runs/quickstart/adapter]

Same measure as in `summary.json`: mean distance of all pairs of four pictures of a prompt, over 48 held-out prompts. Real signs
are painted anew four times and go through the autoencoder. One JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

import torch

import reward_zoo
from finetune.diversity import IMAGES_A_PROMPT, PerceptualFeatures
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.lora import load_lora
from finetune.prompts import load_prompts
from recipes.tiny_signs.data import paint
from recipes.tiny_signs.gates import parse
from recipes.tiny_signs.loop import to_tensor
from surrogate.seeding import derive_seed

Kind = Callable[[int, str], torch.Tensor]  # number of a prompt and the prompt → four pictures


@torch.no_grad()
def real(generator: SDXLGenerator, prompt: str) -> torch.Tensor:
    """Four signs of a prompt, through the autoencoder."""
    rng = random.Random(prompt)  # noqa: S311 - which picture, not a secret
    painted = to_tensor([paint(*parse(prompt), rng) for _ in range(IMAGES_A_PROMPT)])
    return generator.decode(generator.encode_images(painted / 2 + 0.5))


def sampled(generator: SDXLGenerator, number: int, prompt: str, steps: int) -> torch.Tensor:
    """Four of the generator's, the same noises for every number of steps."""
    seeds = [derive_seed(0, "diversity", number, place) for place in range(IMAGES_A_PROMPT)]
    extra = steps if steps > 2 else 0
    return generator.decode(generator.rollout([prompt] * IMAGES_A_PROMPT, seeds, extra).stages[steps])


def measure(adapter: Path | None, prompts: list[str]) -> dict[str, dict[str, float]]:
    """Diversity and reward of each kind of picture."""
    generator, reward = load_generator("tiny-signs"), reward_zoo.load("ocr")
    kinds = {"real": lambda number, prompt: real(generator, prompt)}
    kinds |= {
        f"{steps} steps": lambda number, prompt, steps=steps: sampled(generator, number, prompt, steps) for steps in (2, 8, 25)
    }
    found = {name: judge(generator, reward, kind, prompts) for name, kind in kinds.items()}
    if adapter is not None:
        load_lora(generator.pipeline, adapter)
        found["2 steps, tuned"] = judge(generator, reward, kinds["2 steps"], prompts)
    return found


def judge(generator: SDXLGenerator, reward: reward_zoo.Reward, kind: Kind, prompts: list[str]) -> dict[str, float]:
    """Means over the prompts."""
    pictures = [kind(number, prompt) for number, prompt in enumerate(prompts)]
    together = torch.cat(pictures)
    scores = reward(images=together, prompts=[prompt for prompt in prompts for _ in range(IMAGES_A_PROMPT)]).values
    measure = PerceptualFeatures(generator)
    return {
        "diversity": sum(map(measure.spread, pictures)) / len(pictures),
        "reward": scores.mean().item(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path)
    options = parser.parse_args()
    print(json.dumps(measure(options.adapter, load_prompts("signs-test")[:48]), indent=1))
