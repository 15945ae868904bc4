"""Results of a benchmark: one JSON line each, written as they come, so that a benchmark cut off goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.errors import ConfigError


@dataclass(frozen=True)
class Rows:
    """A file of results.

    Reading raises a ConfigError that names a damaged line: a benchmark that was killed may have left half of its last.
    """

    path: Path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_text().splitlines(), start=1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ConfigError(f"{self.path}: line {number} is damaged; delete it, and what it was is run again") from error

    def add(self, row: dict[str, Any]) -> None:
        """Append one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def where(self, **facts: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON values
        """Those that agree with all facts."""
        return [row for row in self if all(row.get(name) == value for name, value in facts.items())]


def mean_interval(values: list[float], draws: int = 5000) -> tuple[float, float, float]:
    """Mean of a few seeds' results with its 95 % bootstrap interval."""
    found = np.asarray(values)
    picks = np.random.default_rng(0).integers(0, len(found), (draws, len(found)))
    low, high = np.quantile(found[picks].mean(1), [0.025, 0.975])
    return float(found.mean()), float(low), float(high)
