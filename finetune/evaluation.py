"""Evaluation: the same prompts and seeds for every generator that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from finetune.generators.pipeline import SDXLGenerator
from finetune.statistics import paired_interval
from reward_zoo import Reward


@dataclass(frozen=True)
class Evaluation:
    """True scores of one-step and two-step images, item by item; NaN where the reward failed."""

    z1: np.ndarray
    z2: np.ndarray
    components: dict[str, np.ndarray] = field(default_factory=dict)  # of the two-step images
    guards: dict[str, np.ndarray] = field(default_factory=dict)  # two-step scores of rewards never trained on
    images: torch.Tensor | None = None  # the first two-step images, for grids


def evaluate(
    generator: SDXLGenerator,
    reward: Reward,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    guards: dict[str, Reward] | None = None,
    keep_images: int = 0,
    one_step: bool = True,
    batch_size: int = 32,
) -> Evaluation:
    """Roll out every (prompt, seed) and score it."""
    z1, z2, images = [], [], []
    components: dict[str, list[torch.Tensor]] = {}
    guard_scores: dict[str, list[torch.Tensor]] = {name: [] for name in guards or {}}
    for start in range(0, len(prompts), batch_size):
        chunk = list(prompts[start : start + batch_size])
        rollout = generator.rollout(chunk, seeds[start : start + batch_size])
        pictures = generator.decode(rollout.z2)
        scores = reward(images=pictures, prompts=chunk)
        z2.append(scores.values)
        if one_step:
            z1.append(reward(images=generator.decode(rollout.z1), prompts=chunk).values)
        for name, part in scores.components.items():
            components.setdefault(name, []).append(part)
        for name, guard in (guards or {}).items():
            guard_scores[name].append(guard(images=pictures, prompts=chunk).values)
        if sum(len(part) for part in images) < keep_images:
            images.append(pictures.cpu())
    return Evaluation(
        z1=torch.cat(z1).numpy() if z1 else np.array([]),
        z2=torch.cat(z2).numpy(),
        components={name: torch.cat(parts).numpy() for name, parts in components.items()},
        guards={name: torch.cat(parts).numpy() for name, parts in guard_scores.items()},
        images=torch.cat(images)[:keep_images] if images else None,
    )


def compare(before: Evaluation, after: Evaluation) -> dict[str, object]:
    """Before and after as JSON data: reward with the interval of the difference, one-step reward, exact rate, guards."""
    found: dict[str, object] = {"reward": _before_after(before.z2, after.z2)}
    if len(before.z1):
        found["reward_one_step"] = _before_after(before.z1, after.z1)
    if "exact" in before.components:
        found["exact"] = _before_after(before.components["exact"], after.components["exact"])
    found["guards"] = [{"name": name, **_before_after(scores, after.guards[name])} for name, scores in before.guards.items()]
    return found


def _before_after(before: np.ndarray, after: np.ndarray) -> dict[str, object]:
    both = np.isfinite(before) & np.isfinite(after)
    before, after = before[both], after[both]
    return {
        "before": float(before.mean()),
        "after": float(after.mean()),
        "ci95": list(paired_interval(before, after)),
        "samples": len(before),
    }
