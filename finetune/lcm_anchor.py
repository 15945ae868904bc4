"""The anchor of LaSRO's paper: LCM's own distillation loss on real pictures, beside the data-free one (finetune/anchor.py).

Latent consistency distillation (Luo et al., arXiv 2310.04378): noise a real latent to a time t, let a teacher take one DDIM
step down to s, and ask the generator for the same x0 at t as at s. It needs captioned pictures, and a teacher that is a
diffusion model: for a distilled generator the model that it was distilled from, else the frozen generator itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from finetune.generators.pipeline import SDXLGenerator
from finetune.tuning import TunedWeights

ODE_STEPS = 50  # of the teacher's schedule, as in the published LCMs
HUBER = 1e-3  # where the loss turns from squared to absolute error


@dataclass(frozen=True)
class RealPictures:
    """N pictures as scaled latents (N×4×h×w, on the CPU) with their prompts; and the teacher, None for the frozen generator."""

    latents: torch.Tensor
    prompts: Sequence[str]
    teacher: SDXLGenerator | None = None


def lcm_loss(
    generator: SDXLGenerator, tuned: TunedWeights, pictures: RealPictures, count: int, rng: torch.Generator
) -> torch.Tensor:
    """The loss on `count` random pictures at random times: a scalar, with gradient to the tuned weights."""
    rows = torch.randint(0, len(pictures.latents), (count,), generator=rng)
    z = pictures.latents[rows]
    noise = torch.randn(z.shape, generator=rng).to(generator.device)
    place = int(torch.randint(0, ODE_STEPS - 1, (1,), generator=rng))
    high, low = (round(generator.preset.times[0] * (1 - step / ODE_STEPS)) for step in (place, place + 1))
    conditioning = generator.encode([pictures.prompts[row] for row in rows.tolist()])
    root, sigma = _scales(generator, high)
    noisy = root * z.to(generator.device) + sigma * noise
    with torch.no_grad():
        if pictures.teacher is None:
            with tuned.off():
                x0, seen = generator.x0(noisy, high, conditioning)
        else:
            x0, seen = pictures.teacher.x0(noisy, high, conditioning)
        root, sigma = _scales(generator, low)
        target, _ = generator.x0(root * x0 + sigma * seen, low, conditioning)
    found, _ = generator.x0(noisy, high, conditioning)
    return ((found - target).square() + HUBER**2).sqrt().mean() - HUBER


def _scales(generator: SDXLGenerator, time: int) -> tuple[torch.Tensor, torch.Tensor]:
    alpha = generator.alphas_cumprod[time]
    return alpha.sqrt(), (1 - alpha).sqrt()
