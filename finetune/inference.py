"""A surrogate at inference, without any training: pick the best of several noises, or climb from one.

Both work in latent space: nothing is decoded but the pictures that are kept, and the true reward is never asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from finetune.generators.pipeline import SDXLGenerator
from surrogate.model import Surrogate
from surrogate.seeding import derive_seed

Progress = Callable[[int, int, str], None]
STEP = 0.1  # root mean square of one step in the noise, whose own is 1
MOMENTUM = 0.9


@torch.no_grad()
def best_of(
    generator: SDXLGenerator,
    surrogate: Surrogate,
    prompt: str,
    seed: int,
    *,
    count: int,
    num_inference_steps: int = 2,
    batch_size: int = 8,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The latent (1×4×h×w) that scores highest among `count` noises, and all their scores (count,).

    The first noise is that of `seed` itself, so that the winner scores no lower than plain sampling.
    """
    seeds = [seed, *(derive_seed(seed, "best of", number) for number in range(1, count))]
    latents, scores = [], []
    for start in range(0, count, batch_size):
        some = seeds[start : start + batch_size]
        found = generator.sample([prompt] * len(some), some, num_inference_steps)[-1]
        latents.append(found)
        scores.append(surrogate.score(found, generator.encode([prompt] * len(some))))
    together = torch.cat(scores)
    winner = int(together.argmax())
    return torch.cat(latents)[winner : winner + 1], together


def optimize_noise(
    generator: SDXLGenerator,
    surrogate: Surrogate,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    progress: Progress = lambda done, total, text: None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Climb the surrogate in the initial noise of each sample, the network fixed.

    The idea of ReNO (Eyring et al., 2024), with a surrogate where it needs a differentiable reward. The noise stays on the
    sphere it was drawn on, where the network has always seen it.

    Returns:
        The best latents of each climb (B×4×h×w), and the surrogate's scores at every step (steps + 1, B).
    """
    conditioning = generator.encode(prompts)
    start, fresh = generator.noises(seeds)
    radius = start.flatten(1).norm(dim=1)[:, None, None, None]
    noise, velocity = start.clone(), torch.zeros_like(start)
    best, scores = None, []
    for step in range(steps + 1):
        noise.requires_grad_(True)
        latents = generator.denoise(torch.stack([noise, fresh]), conditioning, generator.num_steps)[-1]
        found = surrogate.score(latents, conditioning)
        (gradient,) = torch.autograd.grad(found.sum(), noise)
        found, latents = found.detach(), latents.detach()
        if best is None:
            best, highest = latents, found
        better = found > highest
        best, highest = torch.where(better[:, None, None, None], latents, best), torch.where(better, found, highest)
        scores.append(found)
        progress(step, steps, f"surrogate {highest.mean():.3f}")
        unit = gradient / gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        velocity = MOMENTUM * velocity + (1 - MOMENTUM) * unit
        with torch.no_grad():
            noise = noise.detach() + STEP * velocity
            noise = noise * (radius / noise.flatten(1).norm(dim=1)[:, None, None, None])
    return best, torch.stack(scores)
