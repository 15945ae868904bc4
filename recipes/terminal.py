"""A command in a terminal (tmux), photographed: in the middle of its work, or when it is done."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS, LINES = 132, 40
LOOK_SECONDS = 0.5
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #0c0c0c }}
#main {{ display: inline-block; padding: 18px 22px; background: #0c0c0c }}
pre {{ margin: 0; font: 15px/1.35 "DejaVu Sans Mono", monospace; color: #d9d9d9 }}
</style><div id="main"><pre>{code}</pre></div>"""


class Terminal:
    """A tmux session with a shell in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def type(self, command: str) -> None:
        """Type a line and press Enter."""
        self._tmux("send-keys", "-t", self.name, command, "Enter")

    def screen(self) -> str:
        """What stands there, with its colours."""
        return self._tmux("capture-pane", "-t", self.name, "-p", "-e").rstrip()

    def wait(self, shown: Callable[[str], bool], *, seconds: float) -> str:
        """The screen as soon as it is as wanted.

        Raises:
            TimeoutError: it does not become so.
        """
        until = time.monotonic() + seconds
        while not shown(screen := self.screen()):
            if time.monotonic() > until:
                raise TimeoutError(f"the terminal still shows:\n{screen}")
            time.sleep(LOOK_SECONDS)
        return screen

    @staticmethod
    def _tmux(*arguments: str) -> str:
        return subprocess.run(["tmux", *arguments], check=True, capture_output=True, text=True).stdout  # noqa: S603, S607


@contextmanager
def terminal(folder: Path, name: str = "lasro-screenshots") -> Iterator[Terminal]:
    """A shell in a folder, with a plain prompt and nothing on the screen; commands are this environment's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = f"env PS1='$ ' PATH={shlex.quote(path)} HF_HUB_OFFLINE=1 bash --norc --noprofile"
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    Terminal._tmux("new-session", "-d", "-s", name, *size, "-c", str(folder), shell)
    try:
        opened = Terminal(name)
        opened.wait(lambda screen: screen.startswith("$"), seconds=10)
        yield opened
    finally:
        Terminal._tmux("kill-session", "-t", name)


def as_page(screen: str) -> str:
    """A screen as HTML."""
    text = Text.from_ansi(screen)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text, soft_wrap=True)
    return PAGE.format(code=console.export_html(theme=MONOKAI, inline_styles=True, code_format="{code}"))
