"""The page that asks: two pictures, three keys."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from cli.compare.pairs import Pair
from cli.compare.votes import Votes
from cli.local_page import Answer, LocalHandler, LocalServer, as_json, refusal

SIDES = ("left", "right")
CHOICES = (*SIDES, "tie")


class VotingServer(LocalServer):
    """Shows the pairs a voter has not answered, one at a time; `finished` is set when none is left.

    Neither page nor addresses tell which picture is whose. Raises as `LocalServer` does.
    """

    def __init__(self, pairs: Sequence[Pair], votes: Votes, voter: str, *, port: int = 0) -> None:
        self.pairs, self.votes, self.voter = list(pairs), votes, voter
        self.finished, self.writing = threading.Event(), threading.Lock()
        super().__init__(Handler, port)

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

    def picture(self, number: str, side: str) -> Answer | None:
        """One of a pair; None if there is no such."""
        if not number.isdecimal() or int(number) >= len(self.pairs) or side not in SIDES:
            return None
        path = self.pairs[int(number)].sides[SIDES.index(side)]
        return Answer(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")


class Handler(LocalHandler):
    """GET /SECRET/ is the page, /SECRET/state what it shows, /SECRET/image/NUMBER/left a picture; POST /SECRET/vote a vote."""

    server: VotingServer

    def get(self, name: str) -> Answer | None:
        """The page, the state, or a picture."""
        if name == "":
            return Answer(files("cli.compare").joinpath("page.html").read_bytes(), "text/html")
        if name == "state":
            return as_json(self.server.state())
        kind, *picture = name.split("/")
        return self.server.picture(*picture) if kind == "image" and len(picture) == 2 else None

    def post(self, name: str, told: Any) -> Answer | None:  # noqa: ANN401 - any JSON
        """A vote: {"pair": NUMBER, "choice": "left", "right" or "tie"}; answers with the next state."""
        if name != "vote":
            return None
        pair, choice = (told.get("pair"), told.get("choice")) if isinstance(told, dict) else (None, None)
        if type(pair) is not int or not 0 <= pair < len(self.server.pairs) or choice not in CHOICES:
            return refusal(HTTPStatus.BAD_REQUEST)
        self.server.vote(pair, choice)
        return as_json(self.server.state())

    def do_POST(self) -> None:
        """A vote; after the last, and after the page was told, all is finished."""
        super().do_POST()
        if self.server.state()["pair"] is None:
            self.server.finished.set()
