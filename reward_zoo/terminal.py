"""What the person who waits is told, on stderr: lines and progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SPEED_PERIOD = 3600.0  # seconds a time estimate looks back: one step of a large generator may take minutes
LINE_SECONDS = 60.0  # between lines of progress in a log


def note(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """A progress bar with the time that is left, on stderr; call what it yields with (done, total, text).

    A text stays until another comes. Where stderr is no terminal, a line a minute.
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
            bar.update(task, completed=done, total=total, **({"text": text} if text else {}))

        yield update


def _lines(title: str, clock: Callable[[], float] = time.monotonic) -> Callable[..., None]:
    """Progress for a log. What a resumed run had done before is no part of its speed."""
    first: list[tuple[float, int]] = []
    last, said = [clock()], [""]

    def update(done: int, total: int, text: str = "") -> None:
        now = clock()
        said[0] = text or said[0]
        if not first:
            first.append((now, done))
        if now - last[0] < LINE_SECONDS:
            return
        last[0] = now
        began, before = first[0]
        left = f"about {duration((now - began) / (done - before) * (total - done))} left" if done > before else ""
        note(", ".join(filter(None, [f"{title} {done}/{total}", left, said[0]])))

    return update
