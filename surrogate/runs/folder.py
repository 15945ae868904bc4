"""A run's folder: config.yaml, environment.json, metrics.jsonl, summary.json, samples/ and what the run makes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from surrogate.errors import ResumeError, RunFolderError, StoreError
from surrogate.runs.environment import environment
from surrogate.runs.state import Pulse, ended_by_wish

MARKS = ("config.yaml", "state.json", "model_index.json")  # what lasro has written in every folder that it may delete


@dataclass(frozen=True)
class RunFolder:
    """Where one run writes, and through which it is watched."""

    path: Path
    pulse: Pulse | None = None

    def save_config(self, config: dict[str, Any], device: object) -> None:
        """The resolved settings, and what they run on."""
        (self.path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        (self.path / "environment.json").write_text(json.dumps(environment(device), indent=2))

    def log(self, record: dict[str, Any]) -> None:
        """One line of metrics.jsonl, with the seconds since 1970."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({**record, "time": round(time.time(), 2)}) + "\n")

    def tell(
        self, phase: str, done: int, total: int, *, leaving: Callable[[], bool] = lambda: False, pausable: bool = True
    ) -> bool:
        """Say how far the run is, between two of its steps; waits while it is asked to pause. Whether it is asked to stop."""
        return self.pulse is not None and self.pulse.tell(phase, done, total, leaving=leaving, pausable=pausable)

    def heed(self, phase: str, done: int, total: int, *, pausable: bool = True) -> None:
        """The same, where all is saved already.

        Raises:
            Ended: it is asked to stop.
        """
        if self.tell(phase, done, total, pausable=pausable):
            raise ended_by_wish()

    def save_summary(self, summary: dict[str, Any]) -> None:
        """The run's result; a finished run is one that has it."""
        (self.path / "summary.json").write_text(json.dumps(summary, indent=2))


class Bystander(RunFolder):
    """The folder in a process that does not lead: it writes nothing."""

    def save_config(self, config: dict[str, Any], device: object) -> None:
        """The process that leads does."""

    def log(self, record: dict[str, Any]) -> None:
        """The process that leads does."""

    def save_summary(self, summary: dict[str, Any]) -> None:
        """The process that leads does."""


def check_out(out: Path, *, overwrite: bool, resume: bool, reads: Iterable[object] = ()) -> None:
    """See that `out` may be written, before any work.

    `reads` is what the run is given to read: names, paths or None.

    Raises:
        RunFolderError: it exists and neither flag is set, is a file, cannot be created, or overwriting it would delete what
            is read or what is no run.
    """
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"--out {out}: is a file; give a folder")
    if out.exists() and any(out.iterdir()) and not (overwrite or resume):
        raise RunFolderError(f"--out {out}: exists; use --overwrite to start anew, --resume to go on, or another folder")
    if overwrite and resume:
        raise RunFolderError("--overwrite and --resume exclude each other; give one")
    if overwrite and out.exists():
        _check_loss(out, reads)
    parent = out
    while not parent.exists():
        parent = parent.parent
    try:
        probe = parent / ".lasro-write-test"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise RunFolderError(f"--out {out}: cannot write there ({error.strerror}); choose another folder") from error


def _check_loss(out: Path, reads: Iterable[object]) -> None:
    """See that what is deleted is a run, and nothing that is needed."""
    needed = [Path(given) for given in reads if isinstance(given, str | Path)]
    for path in needed:
        if path.exists() and path.resolve().is_relative_to(out.resolve()):
            raise RunFolderError(f"--overwrite would delete {path}, which this run reads; give another folder as --out")
    if any(out.iterdir()) and not any((out / name).exists() for name in MARKS):
        raise RunFolderError(f"--overwrite would delete {out}, which holds no run; delete it yourself, or give another --out")


@contextmanager
def open_run(
    out: Path, *, overwrite: bool = False, resume: bool = False, watched: bool = True, reads: Iterable[object] = ()
) -> Iterator[RunFolder]:
    """The run's folder; taken away again when the run fails before it has made anything of worth.

    `watched` runs say in it how they fare, and can be paused and stopped through it. A run that cannot be gone on with keeps
    the config.yaml that it was made with. `reads` as in `check_out`.
    """
    check_out(out, overwrite=overwrite, resume=resume, reads=reads)
    if overwrite and out.exists():
        shutil.rmtree(out)
    fresh, config = not out.exists(), out / "config.yaml"
    made_with = config.read_bytes() if resume and config.exists() else None
    out.mkdir(parents=True, exist_ok=True)
    try:
        with Pulse(out) if watched else nullcontext() as pulse:
            yield RunFolder(out, pulse)
    except BaseException as error:
        if made_with is not None and isinstance(error, ResumeError | StoreError):
            config.write_bytes(made_with)
        if fresh and not any(out.rglob("*.parquet/*.parquet")) and not any(out.rglob("*.pt")):
            shutil.rmtree(out, ignore_errors=True)
        raise
