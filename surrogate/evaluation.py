"""A surrogate against the true reward on fresh rollouts of held-out prompts: order, calibration, noise and gradient.

The gradient is the question that matters for climbing: does the true reward rise when a latent takes one step of a given
length along the surrogate's gradient, more than along a random direction of that length?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from surrogate.config import SAFE_ACCURACY
from surrogate.fidelity import agreement, noise_ceiling, pairwise_accuracy
from surrogate.labelling import RewardMeter, ahead_of
from surrogate.model import Surrogate
from surrogate.pipeline import overlap
from surrogate.seeding import derive_seed, stream
from surrogate.types import Generator, Rollout, TextConditioning

NOISE_LEVELS = (0, 50, 100, 200, 400)
STEP_SIZES = (0.03, 0.1, 0.3)  # root mean square of a step, where latents have about 1
BOOTSTRAPS = 2000
SAFE_GAIN = 0.0  # the gain over a random step whose interval must lie above this

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Rollouts:
    """Fresh samples of held-out prompts and their true scores, stage by stage; `groups` numbers the prompts."""

    latents: torch.Tensor
    scores: np.ndarray
    groups: np.ndarray
    stages: np.ndarray
    prompts: list[str]

    def conditioning(self, generator: Generator, rows: Sequence[int]) -> TextConditioning:
        """Text conditioning of some rows."""
        return generator.encode([self.prompts[row] for row in rows])


def roll_out(
    generator: Generator,
    meter: RewardMeter,
    prompts: Sequence[str],
    *,
    noises: int,
    seed: int,
    batch_size: int = 32,
    progress: Progress = lambda done, total, text: None,
) -> Rollouts:
    """`noises` samples of every prompt after each of the generator's calls, each scored once."""
    pairs = [(number, prompt, noise) for number, prompt in enumerate(prompts) for noise in range(noises)]
    jobs = [(number, prompt, derive_seed(seed, "evaluate", prompt, noise)) for number, prompt, noise in pairs]
    latents, scores, groups, stages, texts = [], [], [], [], []

    def paint(start: int) -> tuple[Rollout, list[torch.Tensor]]:
        """Samples of some jobs and, stage by stage, the images that they are."""
        _, chunk, seeds = zip(*jobs[start : start + batch_size], strict=True)
        rollout = generator.rollout(list(chunk), list(seeds))
        return rollout, [generator.decode(samples) for samples in rollout.stages.values()]

    def judge(painted: tuple[Rollout, list[torch.Tensor]]) -> Rollout:
        rollout, images = painted
        scores.extend(meter(pictures, rollout.prompts).values for pictures in images)
        return rollout

    def keep_rows(start: int, rollout: Rollout) -> None:
        for stage, samples in rollout.stages.items():
            latents.append(samples.cpu())
            groups.extend(number for number, _, _ in jobs[start : start + batch_size])
            stages.extend([stage] * len(samples))
            texts.extend(rollout.prompts)
        progress(min(start + batch_size, len(jobs)), len(jobs), "")

    overlap(range(0, len(jobs), batch_size), paint, judge, keep_rows, ahead=ahead_of(generator, meter))
    values = torch.cat(scores)
    keep = values.isfinite()
    rows = torch.nonzero(keep)[:, 0].tolist()
    return Rollouts(
        latents=torch.cat(latents)[keep],
        scores=values[keep].numpy(),
        groups=np.array(groups)[rows],
        stages=np.array(stages)[rows],
        prompts=[texts[row] for row in rows],
    )


@torch.no_grad()
def predict_at(generator: Generator, surrogate: Surrogate, data: Rollouts, time: int, *, batch_size: int = 96) -> np.ndarray:
    """The surrogate's scores of all rows, looked at through noise of level `time`."""
    parts = []
    for start in range(0, len(data.latents), batch_size):
        latents = data.latents[start : start + batch_size].to(generator.device)
        conditioning = data.conditioning(generator, range(start, start + len(latents)))
        parts.append(surrogate.score(latents, conditioning, time=time))
    return torch.cat(parts).cpu().numpy()


def order(generator: Generator, surrogate: Surrogate, data: Rollouts, margin: float) -> dict[str, Any]:
    """Pairwise accuracy, correlations, calibration, and accuracy by stage and by noise level."""
    predictions = predict_at(generator, surrogate, data, surrogate.score_time)
    found: dict[str, Any] = agreement(predictions, data.scores, data.groups, data.stages, margin)
    found["accuracy_by_noise"] = {
        str(time): _accuracy(predict_at(generator, surrogate, data, time), data, margin) for time in NOISE_LEVELS
    }
    return found


def _accuracy(predictions: np.ndarray, data: Rollouts, margin: float) -> float:
    return pairwise_accuracy(predictions, data.scores, data.groups, margin)


def gradient_gain(
    generator: Generator,
    surrogate: Surrogate,
    meter: RewardMeter,
    data: Rollouts,
    *,
    count: int,
    seed: int,
    step_sizes: Sequence[float] = STEP_SIZES,
    batch_size: int = 32,
    progress: Progress = lambda done, total, text: None,
) -> list[dict[str, Any]]:
    """What one step does to the true reward, along the surrogate's gradient and along a random direction, by step length.

    `count` samples of the last stage are stepped once each way; a step of size r has root mean square r in every latent.
    """
    rng = stream(seed, "gradient")
    candidates = np.flatnonzero(data.stages == data.stages.max())
    rows = candidates[torch.randperm(len(candidates), generator=rng)[:count].numpy()]
    gains: dict[tuple[float, str], list[np.ndarray]] = {}
    for start in range(0, len(rows), batch_size):
        some = rows[start : start + batch_size]
        latents = data.latents[some].to(generator.device)
        prompts = [data.prompts[row] for row in some]
        random = torch.randn(latents.shape, generator=rng).to(latents)
        directions = {"surrogate": _gradient(surrogate, latents, data.conditioning(generator, some)), "random": random}
        for name, direction in directions.items():
            unit = direction / direction.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
            for size in step_sizes:
                after = meter(generator.decode(latents + size * unit), prompts).values.numpy()
                gains.setdefault((size, name), []).append(after - data.scores[some])
        progress(min(start + batch_size, len(rows)), len(rows), "")
    together = {key: np.concatenate(parts) for key, parts in gains.items()}
    return [_one_size(size, together[size, "surrogate"], together[size, "random"]) for size in step_sizes]


def _gradient(surrogate: Surrogate, latents: torch.Tensor, conditioning: TextConditioning) -> torch.Tensor:
    latents = latents.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(surrogate.score(latents, conditioning).sum(), latents)
    return gradient


def _one_size(size: float, gain: np.ndarray, random: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(gain) & np.isfinite(random)
    gain, random = gain[known], random[known]
    draws = np.random.default_rng(0).integers(0, len(gain), (BOOTSTRAPS, len(gain)))
    difference, own = ((values[draws].mean(1)) for values in (gain - random, gain))
    return {
        "step": size,
        "gain": float(gain.mean()),
        "gain_ci95": [float(bound) for bound in np.quantile(own, [0.025, 0.975])],
        "random_gain": float(random.mean()),
        "ci95": [float(bound) for bound in np.quantile(difference, [0.025, 0.975])],  # of the difference
        "share_rising": float((gain > 0).mean()),
        "count": len(gain),
    }


def verdict(found: dict[str, Any], steps: Sequence[dict[str, Any]]) -> str:
    """In words: how far the surrogate may be climbed, by the thresholds named in them."""
    accuracy = found["pairwise"]["accuracy"]
    if not accuracy >= SAFE_ACCURACY:
        return f"do not climb: pairwise accuracy {accuracy:.3f} is below {SAFE_ACCURACY}"
    safe = [part["step"] for part in steps if part["ci95"][0] > SAFE_GAIN and part["gain_ci95"][0] > SAFE_GAIN]
    if not safe:
        return "do not climb: no step along the gradient raised the true reward with its 95 % interval above zero"
    return (
        f"safe to climb by steps up to RMS {max(safe):g}: there the true reward rises, and more than by a random step, both "
        f"95 % intervals above zero; pairwise accuracy {accuracy:.3f} is at least {SAFE_ACCURACY}"
    )


def evaluate_surrogate(
    generator: Generator,
    surrogate: Surrogate,
    meter: RewardMeter,
    data: Rollouts,
    *,
    margin: float,
    gradient_count: int,
    seed: int,
    progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:
    """The whole report on one set of rollouts, as JSON data."""
    found = order(generator, surrogate, data, margin)
    found["pairwise"]["ceiling"] = noise_ceiling(generator, meter, data.latents, data.prompts, data.scores, data.groups, margin)
    steps = gradient_gain(generator, surrogate, meter, data, count=gradient_count, seed=seed, progress=progress)
    chosen = min(steps, key=lambda part: abs(part["step"] - 0.1))
    found["gradient"] = {**chosen, "by_step": steps}
    found["verdict"] = verdict(found, steps)
    return found
