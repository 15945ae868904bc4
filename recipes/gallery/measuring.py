"""An entry's pictures, written to files, and its reward's scores of exactly these files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

import reward_zoo
from recipes.gallery.entries import PAINTED, Entry
from recipes.gallery.painting import painted_pair
from reward_zoo.errors import MissingWeightsError
from reward_zoo.readiness import readiness
from reward_zoo.registry import card_of

SIDES = ("high", "low")


class CannotMeasure(Exception):
    """This reward does not run on this machine; the text says why."""


class WrongOrder(Exception):
    """The reward does not like what the entry says it likes: mend the entry."""


def measure(entry: Entry, folder: Path) -> dict[str, float]:
    """Draw and score: {"high": …, "low": …}, of which one may be missing.

    Raises:
        CannotMeasure: no pictures to show it on, or the reward does not run here.
        WrongOrder: the first picture does not score above the second.
    """
    if entry.pair is None:
        raise CannotMeasure("words alone")
    ready = readiness(card_of(entry.name))
    if ready.state != "ready":
        raise CannotMeasure(ready.state)
    try:
        reward = reward_zoo.load(entry.reward)
    except MissingWeightsError as error:
        raise CannotMeasure(str(error)) from error
    pictures = _pictures(entry, reward)
    for side, picture in pictures.items():
        picture.save(file_of(entry, side, folder), lossless=True)
    scores = {side: score(entry, reward, file_of(entry, side, folder)) for side in pictures}
    if len(scores) == 2 and not scores["high"] > scores["low"]:
        raise WrongOrder(f"high {scores['high']:g}, low {scores['low']:g}")
    return scores


def file_of(entry: Entry, side: str, folder: Path) -> Path:
    """Where a picture of the gallery lies."""
    return folder / f"{entry.slug}-{side}.webp"


def score(entry: Entry, reward: reward_zoo.Reward, file: Path) -> float:
    """The reward of one file, asked as the entry says."""
    needs = {"prompts": entry.prompt, "targets": entry.target, "references": entry.reference and entry.reference()}
    given = {name: [value] for name, value in needs.items() if value is not None}
    return float(reward(images=[file], **given).values[0]) + 0.0  # no -0


def _pictures(entry: Entry, reward: reward_zoo.Reward) -> dict[str, Image.Image]:
    pair: Iterable[Image.Image | None]
    pair = painted_pair(entry.prompt, reward) if entry.pair == PAINTED else [draw and draw() for draw in entry.pair]
    return {side: picture for side, picture in zip(SIDES, pair, strict=True) if picture is not None}
