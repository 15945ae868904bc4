"""What keeps a generator's pictures of one prompt from becoming one picture.

A reward that asks for the right letters is content with one typeface, and nothing else in LaSRO's objective minds: the
anchor holds each sample near the frozen generator's, and near it there is room for all to look alike. So some prompts of a
batch are painted twice, and their two pictures may come to differ less than the frozen generator's own two by a little only.
Latents do not show it (their distance stays while the pictures' falls), so it is measured where diversity is: in features of
the VAE encoder, decoded with gradient.
"""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from finetune.diversity import PerceptualFeatures, distances
from finetune.generators.pipeline import SDXLGenerator

POSITIONS = 1024  # of a latent, at most, that are decoded with gradient: a window of 256 × 256 pixels for SDXL's autoencoder


class Variety:
    """Asks pairs of latents of one prompt to stay as different, decoded, as the frozen generator's pairs are.

    Args:
        generator: whose autoencoder decodes and compares.
        share: of the frozen pairs' distance; only what falls short of it costs.
    """

    def __init__(self, generator: SDXLGenerator, share: float) -> None:
        self.generator, self.share = generator, share
        self.features = PerceptualFeatures(generator)

    def __call__(
        self, pairs: tuple[torch.Tensor, torch.Tensor], frozen: tuple[torch.Tensor, torch.Tensor], rng: torch.Generator
    ) -> tuple[torch.Tensor, float]:
        """The mean shortfall, with gradient, and the mean share of the frozen distance that is there.

        Args:
            pairs: the tuned generator's latents, B×4×h×w each; row i of both belongs to one prompt.
            frozen: the frozen generator's, from the same prompts and noises.
            rng: where the window lies, if the latents are larger than one.
        """
        rows, columns = window(pairs[0].shape[-2:], rng)
        with torch.no_grad():
            before = self._distance(*(side[..., rows, columns] for side in frozen))
        # One pair in memory at a time: the decoder's activations are the largest thing here.
        each = zip(*(side[..., rows, columns].split(1) for side in pairs), strict=True)
        after = torch.cat([checkpoint(self._distance, *pair, use_reentrant=False) for pair in each])
        share = after / before.clamp(min=1e-6)
        return (self.share - share).relu().mean(), share.mean().item()

    def _distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        features = self.features.with_gradient(self.generator.decode_with_gradient(torch.cat([first, second])))
        return distances(*zip(*(part.chunk(2) for part in features), strict=True))


def window(size: tuple[int, int], rng: torch.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random window of `POSITIONS` positions, shaped like the latent; all of a small one."""
    scale = min(1.0, (POSITIONS / (size[0] * size[1])) ** 0.5)
    sides = [max(1, int(side * scale)) for side in size]
    if scale == 1.0:
        return slice(None), slice(None)
    places = [int(torch.randint(0, side - small + 1, (), generator=rng)) for side, small in zip(size, sides, strict=True)]
    return tuple(slice(place, place + small) for place, small in zip(places, sides, strict=True))
