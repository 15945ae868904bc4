"""`Worker`: the process behind an isolated reward, started, watched, started again and ended by the process that uses it."""

from __future__ import annotations

import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from pathlib import Path

import reward_zoo
from reward_zoo import errors
from reward_zoo.calibration import cache_folder
from reward_zoo.errors import NoAnswerError, RewardError, RewardFailedError, SpecError
from reward_zoo.isolation.environment import Environment

TOKEN_VARIABLE = "LASRO_WORKER_TOKEN"  # noqa: S105 - its name
SOCKET, NAME = "socket", "reward"  # in their private folder; under which the only reward is served
START_VARIABLE, START_SECONDS = "LASRO_START_TIMEOUT", 1800.0  # to load a reward: its weights may have to be fetched
END_SECONDS = 5.0  # that a worker may take to end before it is killed
LAST_LINES = 3  # of a worker's log, in an error
LONGEST_SOCKET = 90  # bytes of a socket's path that every system takes
MAIN = "from reward_zoo.isolation.worker import main\n\nmain()\n"


class Worker:
    """A process with one reward, on a Unix socket in a folder that only this user can open, behind a random token.

    It ends with this object, and with this process, however that ends. A fork may ask it, but not start it again.

    Raises:
        RewardError: the worker could not load the reward; the class is the one it was raised as there.
        NoAnswerError: it ended, or did not load the reward in time.
    """

    def __init__(self, spec: str, environment: Environment, title: str) -> None:
        self.spec, self.environment, self.title, self.owner = spec, environment, title, os.getpid()
        self.python, self.token = environment.build(title), secrets.token_urlsafe(32)
        self.folder = _private_folder()
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._process, self.name = self._start()

    @property
    def url(self) -> str:
        """The reward's address."""
        return f"unix:{self.folder / SOCKET}/{NAME}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """What runs; while another thread starts it, that is waited for."""
        with self._lock:
            return self._process

    def has_ended(self, process: subprocess.Popen[bytes], within: float = 0.0) -> bool:
        """Whether the process ends within some seconds; only the one that started it can tell."""
        if os.getpid() != self.owner:
            return False
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def start_again(self, ended: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Start a process in place of the one that has ended, unless another thread did so."""
        with self._lock:
            if self._process is ended:
                warnings.warn(f"{self.title}: its worker {_how(ended)}; it is started again", stacklevel=2)
                _stop(ended)
                self._process, self.name = self._start()
            return self._process

    def failure(self, process: subprocess.Popen[bytes], when: str) -> NoAnswerError:
        """That the process ended: how, what it said last, and where all that it said is kept."""
        kept = cache_folder().absolute() / "logs" / (re.sub(r"[^\w.-]+", "-", self.title).strip("-") + ".log")
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / "log", kept)
            lines = [line.strip() for line in kept.read_text(errors="replace").splitlines() if line.strip()]
        except OSError as error:
            return NoAnswerError(f"{self.title}: its worker {_how(process)} {when}; its log cannot be kept ({error})")
        said = " / ".join(lines[-LAST_LINES:]) or "nothing"
        return NoAnswerError(f"{self.title}: its worker {_how(process)} {when}; it said last: {said} (whole log: {kept})")

    def _start(self) -> tuple[subprocess.Popen[bytes], str]:
        """A new process, and the name of the reward that it has loaded."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - ourselves
                [self.python, self.folder, str(os.getpid()), self.spec],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._variables(),
                start_new_session=True,  # Ctrl-C is for this process, which may still ask
            )
        self._end.detach()
        self._end = weakref.finalize(self, _end, process, self.folder, self.owner)
        limit = _seconds()
        if not select.select([process.stdout], [], [], limit)[0]:
            _stop(process)
            late = f"because its reward was not loaded within {limit:g} s; {START_VARIABLE} is how long to wait"
            raise self.failure(process, late)
        line = process.stdout.readline()
        if not line:
            process.wait(END_SECONDS)
            raise self.failure(process, "before its reward was loaded")
        said = json.loads(line)
        if "error" in said:
            kind = getattr(errors, said["kind"], RewardFailedError)
            raise (kind if issubclass(kind, RewardError) else RewardFailedError)(f"{self.title}: {said['error']}")
        return process, said["name"]

    def _variables(self) -> dict[str, str]:
        """Its environment variables: where this process finds modules is its business only if the packages are the same."""
        kept = dict(os.environ)
        if self.environment.separate:
            kept = {name: value for name, value in kept.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        else:
            kept["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        return kept | {TOKEN_VARIABLE: self.token}


def _private_folder() -> Path:
    """A folder that Python can run, with nothing on its path but lasro's rewards and the interpreter's own packages."""
    long = len(os.fsencode(tempfile.gettempdir())) > LONGEST_SOCKET - len("/lasro-12345678/socket")
    folder = Path(tempfile.mkdtemp(prefix="lasro-", dir="/tmp" if long else None))  # noqa: S108 - mkdtemp's are private
    (folder / "__main__.py").write_text(MAIN)
    (folder / "reward_zoo").symlink_to(Path(reward_zoo.__file__).resolve().parent)
    return folder


def _seconds() -> float:
    given = os.environ.get(START_VARIABLE, str(START_SECONDS))
    try:
        return float(given)
    except ValueError:
        raise SpecError(f"{START_VARIABLE}={given}: is not a number of seconds") from None


def _how(ended: subprocess.Popen[bytes]) -> str:
    code = ended.returncode
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):  # not before: the pipe's end tells a worker that we are dead
        pipe.close()


def _end(process: subprocess.Popen[bytes], folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)
