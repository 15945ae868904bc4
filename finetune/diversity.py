"""How different pictures look: a perceptual distance that needs no weights but the generator's own.

LPIPS's construction (Zhang et al., arXiv 1801.03924: activations of every stage of a convolutional network, brought to unit
length at each position, squared differences averaged) with the generator's VAE encoder as the network, unweighted. It is
there wherever the generator is. Numbers compare with each other, not with published LPIPS.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from finetune.generators.pipeline import SDXLGenerator
from surrogate.seeding import derive_seed

IMAGES_A_PROMPT = 4


class PerceptualFeatures:
    """Distances between pictures, B×3×H×W in [0, 1], in a generator's VAE encoder."""

    def __init__(self, generator: SDXLGenerator) -> None:
        self.generator = generator

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Activations of every stage, B×C×h×w, of unit length at each position."""
        return self.with_gradient(images)

    def with_gradient(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The same, down to the pictures."""
        encoder, found = self.generator.vae.encoder, []
        seen = encoder.conv_in((images.to(self.generator.device) * 2 - 1).to(self.generator.vae.dtype))
        for block in encoder.down_blocks:
            seen = block(seen)
            found.append(torch.nn.functional.normalize(seen.float(), dim=1))
        return found

    def mean_distance(self, first: torch.Tensor, second: torch.Tensor) -> float:
        """Of the pairs first[i], second[i]."""
        rows = torch.arange(len(first)).split(max(1, self.generator.at_once // 2))  # both sides' activations are held
        parts = [distances(self(first[some]), self(second[some])) for some in rows]
        return torch.cat(parts).mean().item()

    def spread(self, images: torch.Tensor) -> float:
        """Mean distance of all pairs of some pictures."""
        one, other = torch.triu_indices(len(images), len(images), offset=1)
        features = self(images)
        return distances([part[one] for part in features], [part[other] for part in features]).mean().item()


def distances(first: list[torch.Tensor], second: list[torch.Tensor]) -> torch.Tensor:
    """Of each row, (B,): squared differences summed over channels, averaged over positions and stages."""
    parts = [(one - other).square().sum(1).mean((1, 2)) for one, other in zip(first, second, strict=True)]
    return torch.stack(parts).mean(0)


@torch.no_grad()
def diversity(generator: SDXLGenerator, prompts: Sequence[str], *, images_a_prompt: int = IMAGES_A_PROMPT) -> np.ndarray:
    """Mean distance of all pairs of a prompt's pictures, for each prompt; seeds are always the same."""
    measure, found = PerceptualFeatures(generator), []
    for number, prompt in enumerate(prompts):
        seeds = [derive_seed(0, "diversity", number, place) for place in range(images_a_prompt)]
        stages = generator.rollout([prompt] * images_a_prompt, seeds).stages
        found.append(measure.spread(generator.decode(stages[max(stages)])))
    return np.array(found)
