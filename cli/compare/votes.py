"""Votes in a CSV file, a line each, and what they say."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from surrogate.errors import RunFolderError

Choice = Literal["left", "right", "tie"]


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One answer; `winner` is a, b or tie, whichever side it stood on."""

    time: str
    voter: str
    pair: str
    left: str  # a or b: who stood there
    choice: str
    winner: str
    a: str  # the folders
    b: str


COLUMNS = [field.name for field in fields(Vote)]


class Votes:
    """The votes of a file, and their next.

    Raises:
        RunFolderError: the file holds something else, or votes on other folders.
    """

    def __init__(self, path: Path, a: Path, b: Path) -> None:
        self.path, self.a, self.b = path, str(a), str(b)
        self.held = _read(path)
        strange = next((vote for vote in self.held if (vote.a, vote.b) != (self.a, self.b)), None)
        if strange is not None:
            raise RunFolderError(
                f"--votes {path}: holds votes on {strange.a} and {strange.b}; give another file for {self.a} and {self.b}"
            )

    def done(self, voter: str) -> set[str]:
        """The pairs that this voter has answered."""
        return {vote.pair for vote in self.held if vote.voter == voter}

    def add(self, pair: str, choice: Choice, *, flipped: bool, voter: str) -> Vote:
        """Write a vote down at once; a second one on the same pair is not taken."""
        known = next((vote for vote in self.held if (vote.voter, vote.pair) == (voter, pair)), None)
        if known is not None:
            return known
        left, right = ("b", "a") if flipped else ("a", "b")
        winner = {"left": left, "right": right, "tie": "tie"}[choice]
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        vote = Vote(time=now, voter=voter, pair=pair, left=left, choice=choice, winner=winner, a=self.a, b=self.b)
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(asdict(vote))
        self.held.append(vote)
        return vote


def summarise(votes: Sequence[Vote]) -> dict[str, Any]:
    """How often B is preferred among the decided votes, with its 95 % Wilson interval, and whether it is told from chance.

    The interval takes votes as independent, which several voters' votes on one pair are not: it is then too narrow.
    """
    from scipy.stats import binomtest

    wins = {who: sum(vote.winner == who for vote in votes) for who in ("a", "b", "tie")}
    decided = wins["a"] + wins["b"]
    found: dict[str, Any] = {"votes": len(votes), "voters": len({vote.voter for vote in votes}), **wins}
    left = sum(vote.choice == "left" for vote in votes)
    found["left_share"] = left / decided if decided else None  # far from one half: the voter looked at sides, not pictures
    if not decided:
        return {**found, "b_preferred": None, "ci95": None, "p_value": None}
    test = binomtest(wins["b"], decided)
    low, high = test.proportion_ci(0.95, method="wilson")
    return {**found, "b_preferred": wins["b"] / decided, "ci95": [float(low), float(high)], "p_value": float(test.pvalue)}


def _read(path: Path) -> list[Vote]:
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [Vote(**{name: row[name] for name in COLUMNS}) for row in rows]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise RunFolderError(f"--votes {path}: holds no votes of lasro compare ({error}); give another file") from error
