"""`Environment`: a Python and packages for one kind of reward, installed once by uv and kept.

They are kept in `$LASRO_CACHE/environments/KEY` (default ~/.cache/lasro); the key is a hash of what is asked for. lasro's own
code is not among them: the worker finds it where this process found it, so a new lasro needs no new environments.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from reward_zoo.calibration import cache_folder
from reward_zoo.errors import BuildError
from reward_zoo.terminal import note

# What reward_zoo itself needs to load a reward and serve it, in versions that rewards of many years get along with.
FOR_THE_WORKER = (
    "fastapi>=0.115",
    "huggingface-hub",
    "numpy",
    "pillow",
    "prometheus-client>=0.21",
    "safetensors>=0.4",
    "torch",
    "uvicorn>=0.32",
)
LAST_LINES = 3  # of uv's messages, in an error, if none of them says what is wrong


@dataclass(frozen=True)
class Environment:
    """Requirements as pip writes them, and a Python version (`3.11`, `>=3.10`); nothing of both is this process's own.

    A Python that is not given is the one that runs here.
    """

    requirements: tuple[str, ...] = ()
    python: str = ""

    @property
    def separate(self) -> bool:
        """Whether it is another than this process's."""
        return bool(self.requirements or self.python)

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        python = self.python or "{}.{}".format(*sys.version_info)
        asked = [sorted(self.requirements), FOR_THE_WORKER, python, sys.platform, platform.machine()]
        key = hashlib.blake2b(json.dumps(asked).encode(), digest_size=10).hexdigest()
        return cache_folder().absolute() / "environments" / key

    @property
    def executable(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python" if self.separate else Path(sys.executable)

    @property
    def is_built(self) -> bool:
        """Whether it can be used without building."""
        return self.executable.exists()

    def build(self, title: str) -> Path:
        """Its interpreter, after installing everything if that was not done; uv's messages go to stderr, and into a log.

        Safe for several processes: one builds, the others wait. What is not finished is never used.

        Args:
            title: who asks, for the messages.

        Raises:
            BuildError: uv is missing, or cannot install it.
        """
        if self.is_built:
            return self.executable
        if (uv := find_uv()) is None:
            raise BuildError(f"{title}: needs an environment of its own, and uv, which builds it, is missing; pip install uv")
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(Path(f"{folder}.lock"), title):
                if not self.is_built:
                    self._install(uv, Path(f"{folder}.partial"), title)
        except OSError as error:
            raise BuildError(
                f"{title}: its own environment cannot be kept in {folder.parent} ({error}); set LASRO_CACHE"
            ) from error
        return self.executable

    def _install(self, uv: str, partial: Path, title: str) -> None:
        for old in (partial, self.folder):  # of a build that was killed; of a Python that is gone
            shutil.rmtree(old, ignore_errors=True)
        note(f"{title}: installing {', '.join(self.requirements) or 'Python ' + self.python} into {self.folder}, once")
        listed = partial / "requirements.txt"
        make = [uv, "venv", "--relocatable", "--no-project", "--python", self.python or sys.executable, partial]
        install = [uv, "pip", "install", "--python", partial / "bin" / "python", "-r", listed]
        with Path(f"{self.folder}.log").open("w", encoding="utf-8") as log:
            _run(make, log, title)
            listed.write_text("\n".join([*self.requirements, *FOR_THE_WORKER, ""]))
            _run(install, log, title)
        partial.rename(self.folder)


def find_uv() -> str | None:
    """The uv of the Python package, else the one on the path, if any."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")


@contextmanager
def _alone(path: Path, title: str) -> Iterator[None]:
    """The lock of a file; says so if another process has it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(f"{title}: another process builds its environment; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _run(command: list[str | Path], log: TextIO, title: str) -> None:
    """Run uv outside of any project, so that none's settings count; the person's own, and UV_… variables, do."""
    lines: list[str] = []
    options = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "cwd": os.path.dirname(log.name),
    }
    with subprocess.Popen(command, **options, text=True, errors="replace") as process:  # noqa: S603 - uv
        for line in process.stderr:
            sys.stderr.write(line)
            log.write(line)
            lines.append(" ".join(line.split()))
    if process.returncode:
        faults = [number for number, line in enumerate(lines) if line.startswith(("error", "×"))]
        said = " ".join(lines[faults[-1] if faults else -LAST_LINES :]) or f"exit code {process.returncode}"
        raise BuildError(f"{title}: its own environment cannot be built: uv {command[1]}: {said} (whole log: {log.name})")
