"""The true reward with its gradient down to the latents, for methods that go through the pixels."""

from __future__ import annotations

import torch

from finetune.errors import ConfigError
from finetune.method import Workshop


def needs_gradient(shop: Workshop, method: str) -> None:
    """See that the reward has a gradient.

    Raises:
        ConfigError: it has none.
    """
    card = shop.meter.reward.card
    if not card.differentiable:
        raise ConfigError(f"--method {method}: reward {card.name} has no gradient; use lasro, which learns one")


def normalised_reward(shop: Workshop, latents: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Scores (B,) of latents in spreads from the card's typical mean, with gradient; and the mean score as it is."""
    mean, spread = shop.meter.reward.card.typical
    images = shop.generator.decode_with_gradient(latents)
    scores = shop.meter(images, [shop.prompts[group] for group in groups.tolist()]).values
    return (scores - mean) / spread, scores.mean().item()
