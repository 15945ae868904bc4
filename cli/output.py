"""stdout is data, stderr is the rest."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

SPEED_PERIOD = 3600.0  # seconds a time estimate looks back: one step of a large generator may take minutes
LINE_SECONDS = 60.0  # between lines of progress in a log


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


def note(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """A progress bar with the time that is left, on stderr; call what it yields with (done, total, text).

    Where stderr is no terminal, a line a minute.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.fields[text]}")
    with Progress(*columns, text, console=console, speed_estimate_period=SPEED_PERIOD) as bar:
        task = bar.add_task(title, total=None, text="")

        def update(done: int, total: int, text: str = "") -> None:
            bar.update(task, completed=done, total=total, text=text)

        yield update


def _lines(title: str, clock: Callable[[], float] = time.monotonic) -> Callable[..., None]:
    """Progress for a log. What a resumed run had done before is no part of its speed."""
    first: list[tuple[float, int]] = []
    last = [clock()]

    def update(done: int, total: int, text: str = "") -> None:
        now = clock()
        if not first:
            first.append((now, done))
        if now - last[0] < LINE_SECONDS:
            return
        last[0] = now
        began, before = first[0]
        left = f"about {duration((now - began) / (done - before) * (total - done))} left" if done > before else ""
        note(", ".join(filter(None, [f"{title} {done}/{total}", left, text])))

    return update


def _without_nan(data: Any) -> Any:  # noqa: ANN401
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and data != data else data
