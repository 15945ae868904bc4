"""stdout is data; what else is said goes to stderr (reward_zoo/terminal.py)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

_stdout: list[TextIO] = []  # as it was before a command began


@contextmanager
def data_alone() -> Iterator[None]:
    """What the functions below print goes to stdout; what anybody else does, a person's reward or a library, to stderr."""
    _stdout.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.pop()


def print_json(data: Any) -> None:  # noqa: ANN401 - any JSON data
    """One JSON value on stdout; NaN becomes null."""
    print_lines([json.dumps(_without_nan(data), indent=2, ensure_ascii=False)])


def print_lines(lines: Sequence[str]) -> None:
    """Text on stdout, at once: whoever started a server waits for it."""
    print("\n".join(lines), file=_stdout[-1] if _stdout else None, flush=True)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table on stdout, readable without colour."""
    texts = [list(headers), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    print_lines(["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts])


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
