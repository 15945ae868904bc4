"""What serves the pages of `lasro watch` and `lasro compare`: to whoever sits at this machine and has the address.

Everything lies under a secret that is in the address and nowhere else, so neither another web page nor another user of the
machine can read the page or press its buttons. Beside that, the Host must be this machine's (against DNS rebinding), what is
told must come from the page's own origin as JSON, and GET changes nothing.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from reward_zoo.errors import SpecError

HOST = "127.0.0.1"
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
LONGEST_BODY = 1000  # bytes that a page may tell at once
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LocalServer(ThreadingHTTPServer):
    """Listens on this machine alone, at a port, or a free one for 0.

    Raises:
        SpecError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, handler: type[LocalHandler], port: int) -> None:
        self.secret = secrets.token_urlsafe(18)
        try:
            super().__init__((HOST, port), handler)
        except (OSError, OverflowError) as error:
            raise SpecError(f"--port {port}: {error}; choose another, or 0 for a free one") from error

    @property
    def address(self) -> str:
        """Of the page, with the secret in it."""
        return f"http://{HOST}:{self.server_port}/{self.secret}/"


class Answer(NamedTuple):
    """What the browser gets."""

    body: str | bytes
    kind: str = "text/plain"
    status: HTTPStatus = HTTPStatus.OK


def refusal(status: HTTPStatus) -> Answer:
    """A status that speaks for itself."""
    return Answer("" if status is HTTPStatus.NO_CONTENT else status.phrase, status=status)


def as_json(data: Any) -> Answer:  # noqa: ANN401 - any JSON
    """Data for the page's script."""
    return Answer(json.dumps(data), "application/json")


class LocalHandler(BaseHTTPRequestHandler):
    """Asks `get` and `post` of a page what to answer; None of either is no such page."""

    server: LocalServer
    server_version, sys_version = "lasro", ""
    timeout = 30

    def get(self, name: str) -> Answer | None:
        """What lies at `name` behind the secret; "" is the page."""
        raise NotImplementedError

    def post(self, name: str, told: Any) -> Answer | None:  # noqa: ANN401 - any JSON
        """What becomes of what the page told."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Look."""
        name = self._asked()
        self._send(None if name is None else self.get(name))

    def do_POST(self) -> None:
        """Tell."""
        name = self._asked()
        if name is None:
            self._send(None)
        elif not self._from_this_page():
            self._send(refusal(HTTPStatus.FORBIDDEN))
        else:
            told = self._told()
            self._send(refusal(HTTPStatus.BAD_REQUEST) if told is None else self.post(name, told))

    def _asked(self) -> str | None:
        """What lies behind the secret; None for whoever does not know it, or calls this machine by another name."""
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:  # a bracket too few
            return None
        _, given, *rest = [*self.path.split("/"), ""]
        known = secrets.compare_digest(given.encode(), self.server.secret.encode())
        return "/".join(rest[:-1]) if known and host in OWN_NAMES and len(rest) > 1 else None

    def _from_this_page(self) -> bool:
        json_body = self.headers.get_content_type() == "application/json"
        return json_body and self.headers.get("Origin") == f"http://{self.headers.get('Host')}"

    def _told(self) -> Any | None:  # noqa: ANN401 - any JSON
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return None
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError:
            return None

    def _send(self, answer: Answer | None) -> None:
        body, kind, status = answer or refusal(HTTPStatus.NOT_FOUND)
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind if kind.startswith("image/") else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: pages ask all the time."""
