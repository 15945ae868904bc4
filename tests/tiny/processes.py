"""Real processes: `lasro serve`, and what may stand at an address in its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.tiny.serving import until

ROOT = Path(__file__).parents[2]


class ServeProcess:
    """`lasro serve` with flags; `rewards` are the addresses of what it serves."""

    def __init__(self, *flags: object) -> None:
        command = [sys.executable, "-m", "cli", "serve", *map(str, flags), "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        said = "".join(iter(self.process.stdout.readline, "}\n"))
        self.rewards = json.loads(said + "}")["rewards"]

    def end(self) -> str:
        """Kill it, if it has not ended; what it said on stderr."""
        self.process.kill()
        return self.process.communicate(timeout=20)[1]

    def __enter__(self) -> ServeProcess:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.returncode is None:
            self.end()


def gone(pid: int, seconds: float = 10.0) -> None:
    """Wait until no such process runs."""
    until(lambda: not is_alive(pid), seconds)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.is_file() and state.read_text().rpartition(")")[2].split()[0] == "Z")
