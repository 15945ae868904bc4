"""Rewards that watch a run and are never trained on."""

from __future__ import annotations

from collections.abc import Sequence

from reward_zoo.errors import MissingWeightsError
from reward_zoo.reward import Reward
from reward_zoo.terminal import note
from reward_zoo.workers import RewardWorkers, in_workers


def load_guards(specs: Sequence[str] | None, reward: str, workers: RewardWorkers | None = None) -> dict[str, Reward]:
    """The guards asked for, by spec; without any, `artifact_guard` and a second opinion that this machine has.

    Raises:
        RewardError: as `reward_zoo.load`.
    """
    if specs:
        return {spec: in_workers(spec, workers) for spec in specs}
    second = "ocr:engine=easyocr" if reward.split(":")[0] == "ocr" and "easyocr" not in reward else "sharpness"
    found = {"artifact_guard": in_workers("artifact_guard", None)}
    try:
        found[second] = in_workers(second, workers)
    except MissingWeightsError as error:
        note(f"no guard {second}: {error}")
    return found
