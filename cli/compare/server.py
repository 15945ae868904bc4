"""The page that asks, on this machine alone: two pictures, three keys."""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

from cli.compare.pairs import Pair
from cli.compare.votes import Votes

LOOPBACK = "127.0.0.1"
_CHOICES = ("left", "right", "tie")


class VotingServer(ThreadingHTTPServer):
    """Shows the pairs a voter has not answered, one at a time; `finished` is set when none is left.

    Neither page nor addresses tell which picture is whose.
    """

    daemon_threads = True

    def __init__(self, pairs: Sequence[Pair], votes: Votes, voter: str, *, port: int = 0) -> None:
        self.pairs, self.votes, self.voter = list(pairs), votes, voter
        self.finished, self.writing = threading.Event(), threading.Lock()
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def state(self) -> dict[str, object]:
        """The next pair by its number, or that there is none."""
        done = self.votes.done(self.voter)
        left = [number for number, pair in enumerate(self.pairs) if pair.name not in done]
        if not left:
            return {"done": len(self.pairs), "total": len(self.pairs), "pair": None}
        answered = len(self.pairs) - len(left)
        return {"done": answered, "total": len(self.pairs), "pair": left[0], "prompt": self.pairs[left[0]].prompt}

    def vote(self, number: int, choice: str) -> None:
        """Write a vote down."""
        pair = self.pairs[number]
        with self.writing:
            self.votes.add(pair.name, choice, flipped=pair.flipped, voter=self.voter)


class _Handler(BaseHTTPRequestHandler):
    server: VotingServer

    def do_GET(self) -> None:
        """The page, the state, or a picture: /image/NUMBER/left."""
        parts = self.path.strip("/").split("/")
        if self._stranger():
            return
        if parts == [""]:
            self._answer(200, files("cli.compare").joinpath("page.html").read_bytes(), "text/html; charset=utf-8")
        elif parts == ["state"]:
            self._state()
        elif len(parts) == 3 and parts[0] == "image" and parts[2] in _CHOICES[:2]:
            self._of_pair(parts[1], lambda number: self._picture(number, _CHOICES.index(parts[2])))
        else:
            self._answer(404, b"not found", "text/plain")

    def do_POST(self) -> None:
        """A vote: /vote/NUMBER/left, right or tie; answers with the next state."""
        parts = self.path.strip("/").split("/")
        if self._stranger():
            return
        if len(parts) != 3 or parts[0] != "vote" or parts[2] not in _CHOICES:
            self._answer(404, b"not found", "text/plain")
            return

        def take(number: int) -> None:
            self.server.vote(number, parts[2])
            self._state()

        self._of_pair(parts[1], take)

    def _stranger(self) -> bool:
        """Another site's page that makes a browser ask here: refused."""
        allowed = {f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")}
        origin = self.headers.get("Origin")
        strange = self.headers.get("Host") not in allowed or (origin is not None and origin.split("//")[-1] not in allowed)
        if strange:
            self._answer(403, b"only from this machine's own page", "text/plain")
        return strange

    def _of_pair(self, text: str, act: Callable[[int], None]) -> None:
        if text.isdecimal() and int(text) < len(self.server.pairs):
            act(int(text))
        else:
            self._answer(404, b"no such pair", "text/plain")

    def _picture(self, number: int, side: int) -> None:
        path = self.server.pairs[number].sides[side]
        self._answer(200, path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    def _state(self) -> None:
        state = self.server.state()
        self._answer(200, json.dumps(state).encode(), "application/json")
        if state["pair"] is None:
            self.server.finished.set()  # after the page was told

    def _answer(self, code: int, content: bytes, kind: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the votes are the log."""
