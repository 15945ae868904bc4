"""What a run says to those who watch it (state.json), and what they ask of it (control.json).

Files in the run folder and nothing else: a watcher may sit in another container or on another machine, where a process id
means nothing. A run touches state.json every few seconds, whatever it is doing; one that no longer does is dead.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from reward_zoo.errors import first_line
from reward_zoo.terminal import note
from surrogate.errors import Ended

STATE, CONTROL = "state.json", "control.json"
BEAT_SECONDS = 5  # between two signs of life
SILENT_SECONDS = 60  # after which a run is taken for dead; machines' clocks must agree that far
LOOK_SECONDS = 0.2  # how often a paused run looks whether it may go on
WRITE_SECONDS = 0.5  # at least, between two writes of the same phase

Wish = Literal["pause", "go", "stop"]
WISHES: tuple[Wish, ...] = ("pause", "go", "stop")


class Pulse:
    """The run's side. As a context it keeps state.json alive and leaves in it how the run came out."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._done, self._written = folder, threading.Event(), 0.0
        self._said: dict[str, Any] = {"state": "running", "phase": "", "started": time.time(), "pausable": False}
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self._forget_wish()
        self._write()
        self._beats.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._done.set()
        self._beats.join()
        self._forget_wish()
        if error is None:
            self._write(state="finished")
        elif isinstance(error, (Ended, KeyboardInterrupt)):
            self._write(state="ended")
        else:
            self._write(state="failed", error=f"{type(error).__name__}: {first_line(error)}")

    def tell(self, phase: str, done: int, total: int, *, leaving: Callable[[], bool], pausable: bool) -> bool:
        """Say how far the run is, and wait while it is asked to pause.

        Args:
            phase: what is done now.
            done: of it.
            total: of it.
            leaving: whether the run ends anyway, so that a pause ends too.
            pausable: whether a pause does no harm.

        Returns:
            Whether it is asked to stop.
        """
        if phase != self._said["phase"]:
            self._said |= {"phase": phase, "since": time.time(), "first": done}
            self._written = 0.0
        self._said |= {"done": done, "total": total, "pausable": pausable}
        if time.time() - self._written > WRITE_SECONDS:
            self._write()
        if pausable and _wish(self.folder) == "pause":
            self._pause(leaving)
        return _wish(self.folder) == "stop"

    def _pause(self, leaving: Callable[[], bool]) -> None:
        note("paused; lasro watch lets it go on")
        paused = time.time()
        self._write(state="paused")
        while _wish(self.folder) == "pause" and not leaving():
            time.sleep(LOOK_SECONDS)
        self._said["since"] += time.time() - paused  # time estimates do not count it
        self._write(state="running")

    def _forget_wish(self) -> None:
        (self.folder / CONTROL).unlink(missing_ok=True)

    def _write(self, **changes: Any) -> None:  # noqa: ANN401 - JSON data
        self._said |= changes
        self._written = time.time()
        with suppress(OSError):  # a full disk is for the run's own files to report
            _replace(self.folder / STATE, self._said)

    def _beat(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self.folder / STATE)


def ended_by_wish() -> Ended:
    """What a run raises that was asked to stop: the same as at SIGTERM."""
    note("asked to stop")
    return Ended(signal.SIGTERM)


def ask(folder: Path, wish: Wish) -> None:
    """Ask a run to pause, to go on, or to stop; it looks between its steps."""
    _replace(folder / CONTROL, {"wish": wish})


def read_state(folder: Path) -> dict[str, Any]:
    """What a run said last, with `state` as it is now.

    running, paused, finished, ended (may be resumed), failed, dead (no sign of life), or unknown (an old folder); `wish` is
    what it has been asked and has not heeded yet.
    """
    try:
        said = json.loads((folder / STATE).read_text())
        silent = time.time() - (folder / STATE).stat().st_mtime
    except (OSError, ValueError):
        return {"state": "finished" if (folder / "summary.json").is_file() else "unknown"}
    if said["state"] in ("running", "paused"):
        if silent > SILENT_SECONDS:
            return {**said, "state": "dead", "silent": silent}
        if (wish := _wish(folder)) is not None:
            said["wish"] = wish
    return said


def _wish(folder: Path) -> str | None:
    """What the run has been asked; None where nothing that can be understood stands there."""
    try:
        return json.loads((folder / CONTROL).read_text())["wish"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _replace(path: Path, data: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(json.dumps(data))
    temporary.replace(path)
