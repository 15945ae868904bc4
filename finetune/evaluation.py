"""Evaluation: the same prompts and seeds for every generator that is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from finetune.diversity import PerceptualFeatures, diversity
from finetune.generators.pipeline import SDXLGenerator
from finetune.statistics import paired_interval
from reward_zoo import Reward, Scores
from surrogate.labelling import RewardMeter, ahead_of
from surrogate.pipeline import overlap

Scorer = Reward | RewardMeter


@dataclass(frozen=True)
class Evaluation:
    """True scores item by item, NaN where the reward failed; of the last step's images and, where asked, of the first's."""

    scores: np.ndarray
    one_step: np.ndarray = field(default_factory=lambda: np.array([]))
    components: dict[str, np.ndarray] = field(default_factory=dict)
    guards: dict[str, np.ndarray] = field(default_factory=dict)  # scores of rewards never trained on
    alarms: dict[str, np.ndarray] = field(default_factory=dict)  # 1 where a guard found the image spoilt so
    diversity: np.ndarray = field(default_factory=lambda: np.array([]))  # of each prompt painted several times
    images: torch.Tensor | None = None
    perceived: list[str] = field(default_factory=list)  # what the reward read off each image, if it says


def evaluate(
    generator: SDXLGenerator,
    reward: Scorer,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    guards: dict[str, Scorer] | None = None,
    one_step: bool = True,
    keep_images: int = 0,
    diversity_prompts: int = 0,
    batch_size: int = 32,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Roll out every (prompt, seed) and score it, the next while these are scored.

    Args:
        generator: as it is now.
        reward: the true one.
        prompts: one a sample.
        seeds: one a sample.
        guards: other rewards, by name.
        one_step: score the images of the first step too.
        keep_images: keep so many of the images, the first, on the CPU.
        diversity_prompts: paint so many of the prompts several times and measure how the pictures differ.
        batch_size: samples at once.
        progress: told how many samples of how many are scored.
    """
    final, first, images, perceived = [], [], [], []
    components: dict[str, list[torch.Tensor]] = {}
    found: dict[str, list[Scores]] = {name: [] for name in guards or {}}

    def paint(start: int) -> tuple[list[str], torch.Tensor, torch.Tensor | None]:
        """Some prompts, the images of their last step and, where asked for, of the first."""
        chunk = list(prompts[start : start + batch_size])
        stages = generator.rollout(chunk, seeds[start : start + batch_size]).stages
        both = one_step and len(stages) > 1
        return chunk, generator.decode(stages[max(stages)]), generator.decode(stages[1]) if both else None

    def judge(painted: tuple[list[str], torch.Tensor, torch.Tensor | None]) -> None:
        chunk, pictures, earlier = painted
        scores = reward(images=pictures, prompts=chunk)
        final.append(scores.values)
        perceived.extend(scores.perceived or [])
        if earlier is not None:
            first.append(reward(images=earlier, prompts=chunk).values)
        for name, part in scores.components.items():
            components.setdefault(name, []).append(part)
        for name, guard in (guards or {}).items():
            found[name].append(guard(images=pictures, prompts=chunk))
        if sum(map(len, images)) < keep_images:
            images.append(pictures.cpu())

    starts = range(0, len(prompts), batch_size)

    def tell(start: int, _judged: None) -> None:
        progress(min(start + batch_size, len(prompts)), len(prompts))

    overlap(starts, paint, judge, tell, ahead=ahead_of(generator, reward))
    return Evaluation(
        scores=torch.cat(final).numpy(),
        one_step=torch.cat(first).numpy() if first else np.array([]),
        components={name: torch.cat(parts).numpy() for name, parts in components.items()},
        guards={name: torch.cat([part.values for part in parts]).numpy() for name, parts in found.items()},
        alarms=_alarms(found.get("artifact_guard", [])),
        diversity=diversity(generator, list(prompts)[:diversity_prompts]) if diversity_prompts else np.array([]),
        images=torch.cat(images)[:keep_images] if images else None,
        perceived=perceived,
    )


def _alarms(found: list[Scores]) -> dict[str, np.ndarray]:
    names = found[0].components if found else {}
    return {name: torch.cat([part.components[name] for part in found]).numpy() for name in names}


def compare(before: Evaluation, after: Evaluation, generator: SDXLGenerator) -> dict[str, Any]:
    """Before and after as JSON data, each mean with the interval of its change.

    Reward, one-step reward, exact rate, guards, alarms (shares of images), diversity, and the perceptual distance between
    the pictures of the same seeds. Guards that gave no picture a score both before and after are `silent`.
    """
    found: dict[str, Any] = {"reward": _before_after(before.scores, after.scores)}
    if len(before.one_step):
        found["reward_one_step"] = _before_after(before.one_step, after.one_step)
    if "exact" in before.components:
        found["exact"] = _before_after(before.components["exact"], after.components["exact"])
    guards = [{"name": name, **_before_after(scores, after.guards[name])} for name, scores in before.guards.items()]
    found["guards"] = [guard for guard in guards if guard["samples"]]
    found["silent"] = [guard["name"] for guard in guards if not guard["samples"]]
    alarms = {name: _before_after(alarm, after.alarms[name]) for name, alarm in before.alarms.items()}
    found["alarms"] = {
        name: {when: part[when] for when in ("before", "after")} for name, part in alarms.items() if part["samples"]
    }
    if len(before.diversity):
        found["diversity"] = _before_after(before.diversity, after.diversity)
        found["diversity"]["ratio"] = found["diversity"]["after"] / max(found["diversity"]["before"], 1e-9)
    if before.images is not None and after.images is not None:
        found["distance_to_base"] = PerceptualFeatures(generator).mean_distance(before.images, after.images)
    return found


def _before_after(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return {"samples": 0}
    before, after = before[both], after[both]
    return {
        "before": float(before.mean()),
        "after": float(after.mean()),
        "ci95": list(paired_interval(before, after)),
        "samples": len(before),
    }
