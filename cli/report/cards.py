"""The pictures of a comparison: each held-out prompt with what was painted before and after, or by several runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.report.gather import Run
from cli.report.images import SHEET_SIDE, Picture, embed

LONGEST_READING = 160  # letters of what a reward perceived
MOST_SHEETS = 8


@dataclass(frozen=True)
class Side:
    """One picture of a prompt: who painted it, its score (None where the reward failed), and what the reward perceived."""

    name: str
    score: float | None
    perceived: str | None
    picture: Picture | None


@dataclass(frozen=True)
class Card:
    """A prompt and seed with its pictures, the first of them before; `number` is its place in the set."""

    number: int
    prompt: str
    seed: int
    sides: Sequence[Side]

    @property
    def gain(self) -> float | None:
        """Mean score of the others, less the first's; None where a score is missing."""
        scores = [side.score for side in self.sides]
        if len(scores) < 2 or None in scores:
            return None
        return sum(scores[1:]) / len(scores[1:]) - scores[0]

    @property
    def spread(self) -> float:
        """How far the scores after lie apart."""
        scores = [side.score for side in self.sides[1:] if side.score is not None]
        return max(scores) - min(scores) if scores else 0.0

    @property
    def shown(self) -> bool:
        """Whether there is a picture."""
        return any(side.picture for side in self.sides)


def cards(runs: Sequence[Run]) -> list[Card]:
    """Of one run, before and after; of several that were asked the same, before and each one's after."""
    first = runs[0]
    others = [_by_question(run) for run in runs]
    names = ["after"] if len(runs) == 1 else [run.name for run in runs]
    found = []
    for number, row in enumerate(first.pairs):
        key = (row["prompt"], row["seed"])
        if all(key in rows for rows in others):
            after = [(name, run, rows[key]["after"]) for name, run, rows in zip(names, runs, others, strict=True)]
            sides = [_side(name, run.path, part) for name, run, part in [("before", first, row["before"]), *after]]
            found.append(Card(number, row["prompt"], row["seed"], sides))
    return found


def _by_question(run: Run) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["prompt"], row["seed"]): row for row in run.pairs}


def _side(name: str, folder: Path, part: dict[str, Any]) -> Side:
    read = part.get("perceived")
    if read is not None and len(read) > LONGEST_READING:
        read = read[:LONGEST_READING] + " …"
    picture = embed(folder / "samples" / part["picture"]) if part.get("picture") else None
    return Side(name, part.get("score"), read, picture)


def sheets(run: Run) -> Iterator[tuple[int, Picture]]:
    """(step, grid of validation pictures), at most eight from the first to the last."""
    found = run.sheets
    if len(found) > MOST_SHEETS:
        places = {round(number * (len(found) - 1) / (MOST_SHEETS - 1)) for number in range(MOST_SHEETS)}
        found = [found[place] for place in sorted(places)]
    for step, path in found:
        picture = embed(path, SHEET_SIDE)
        if picture is not None:
            yield step, picture
