"""Fine-tuning in miniature: a reward whose answer is known, surrogates that know it or lie, trainers that take a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

import reward_zoo
from finetune.config import FinetuneConfig
from finetune.generators.pipeline import SDXLGenerator
from finetune.lcm_anchor import RealPictures
from finetune.method import Critic
from finetune.methods import load_method
from finetune.trainer import Trainer
from reward_zoo.reward import RewardInputs
from surrogate.config import DistillConfig
from surrogate.heads.conv import ConvHead
from surrogate.model import Part, Surrogate
from surrogate.types import LatentSpace, TextConditioning
from tests.tiny.surrogate import Itself
from tests.tiny.toy import ToyGenerator

SPACE = LatentSpace(4, 4, 4, 1.0)
PROMPTS = [f"a {thing}" for thing in ("cat", "dog", "tree", "boat", "house", "car", "bird", "lamp")]
SMALL = {"tune": "full", "batch_size": 4, "evaluate_every": 2, "validation_samples": 2, "learning_rate": 1e-2}


class MeanHead(torch.nn.Module):
    """The mean of channel 0, `sign` times."""

    kind = "mean"

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(sign))

    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Of each latent."""
        return self.scale * features[0][:, 0].mean((1, 2))

    def rate(self, looks: torch.Tensor, conditioning: TextConditioning) -> torch.Tensor:
        """Whatever the prompt."""
        return looks


def mean_latent(sign: float = 1.0) -> Surrogate:
    """A perfect surrogate of the mean of latent channel 0; `sign=-1` makes it a perfect liar."""
    part = Part("mean", mean=0.0, spread=1.0)
    return Surrogate(Itself(torch.ones(1000)), [MeanHead(sign)], parts=[part], latent_space=SPACE, score_time=0)


def untrained(dropout: float = 0.0) -> Surrogate:
    """A convolutional head that knows nothing yet, on latents of which training drops some numbers."""
    torch.manual_seed(0)
    part = Part("mean", mean=0.5, spread=0.1)
    backbone = Itself(torch.ones(1000), dropout)
    return Surrogate(backbone, [ConvHead([4], width=8)], parts=[part], latent_space=SPACE, score_time=0)


class Brightness(reward_zoo.Reward):
    """The true reward of these tests: how bright the picture is. It has a gradient."""

    card = replace(reward_zoo.load("brightness").card, typical=(0.5, 0.1))

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """The mean of all colours."""
        return inputs.images.mean((1, 2, 3))


def make_trainer(
    method: str = "lasro",
    options: dict[str, str] | None = None,
    *,
    critic: Surrogate | None = None,
    pictures: RealPictures | None = None,
    reward: str | None = None,
    generator: SDXLGenerator | None = None,
    prompts: Sequence[str] = PROMPTS,
    **settings: Any,
) -> Trainer:
    """A trainer of the toy generator by `Brightness`, unless others are given."""
    generator = generator or ToyGenerator()
    config = FinetuneConfig(**{**SMALL, "method": method, **settings})
    kind, given = load_method(method, {**({"adapt_prompts": "2"} if method == "lasro" else {}), **(options or {})})
    distilled = DistillConfig(max_time=50, score_time=10, losses=("regression",)).settled(perceives=False)
    critics = Critic(critic or untrained(), distilled, margin=0.0) if kind.needs_surrogate else None
    true = reward_zoo.load(reward) if reward else Brightness()
    return Trainer(generator, true, prompts, config, (kind, given), critic=critics, pictures=pictures)
