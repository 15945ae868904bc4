"""Settings and machine as rows of a table, and what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli.report.gather import Run

Row = tuple[str, str]


def settings(run: Run) -> list[Row]:
    """config.yaml, nested names joined by dots."""
    return [(name, _shown(value)) for name, value in _flat(run.config)]


def machine(run: Run) -> list[Row]:
    """environment.json."""
    return [(name, _shown(value)) for name, value in _flat(run.environment) if name != "command"]


def differing(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) where not all are the same."""
    each = [dict(settings(run)) for run in runs]
    names = dict.fromkeys(name for rows in each for name in rows)
    found = [(name, [rows.get(name, "–") for rows in each]) for name in names]
    return [(name, values) for name, values in found if len(set(values)) > 1]


def _flat(data: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in data.items():
        rows += _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(f"{before}{name}", value)]
    return rows


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON or YAML data
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) or "–" if isinstance(value, list) else str(value)
