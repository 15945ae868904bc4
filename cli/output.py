"""stdout is data; what else is said goes to stderr (reward_zoo/terminal.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def print_json(data: Any) -> None:  # noqa: ANN401 - any JSON data
    """One JSON value on stdout; NaN becomes null."""
    print(json.dumps(_without_nan(data), indent=2, ensure_ascii=False))


def print_lines(lines: Sequence[str]) -> None:
    """Text on stdout."""
    print("\n".join(lines))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table on stdout, readable without colour."""
    texts = [list(headers), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def size_of(count: int | float | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return "size not known"
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit != "MB" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _without_nan(data: Any) -> Any:  # noqa: ANN401
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and data != data else data
