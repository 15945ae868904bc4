"""`lasro watch`'s server: the page of one run on this machine alone, refreshed, with buttons that ask the run to pause or stop.

Everything lies under a secret that is in the address and nowhere else, so neither another web page nor another user of the
machine can read the page or press its buttons. Beside that, the Host must be this machine's (against DNS rebinding), a wish
must come from this page's own origin as JSON, and GET changes nothing.
"""

from __future__ import annotations

import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.report.gather import Run, gather
from cli.report.page import Part, page, parts, state_part
from surrogate.errors import RunFolderError
from surrogate.runs.state import WISHES, ask

HOST = "127.0.0.1"
EVERY_SECONDS = 2  # between two looks of the page
LONGEST_BODY = 1000  # bytes of a wish
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LivePage:
    """The page of a run folder as it is now; parts are made anew when a file of it has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = folder, threading.Lock()
        self._seen: list[tuple[str, int]] = []
        self._parts: list[Part] = []
        self._run: Run = gather(folder)

    def whole(self) -> str:
        """The page."""
        run = gather(self.folder)
        state = state_part(run)
        return page([run], {"every": EVERY_SECONDS, "version": state.version, "html": state.html})

    def changed(self, versions: dict[str, str]) -> dict[str, Any]:
        """The parts of which the reader has another version, by name; `reload` if the page has other parts by now."""
        run, known = self._now()
        if set(versions) != {"live", *(part.key for part in known)}:
            return {"reload": True, "parts": {}}
        newer = [part for part in (state_part(run), *known) if versions[part.key] != part.version]
        return {"reload": False, "parts": {part.key: {"html": part.html, "version": part.version} for part in newer}}

    def wish(self, what: str) -> bool:
        """Ask the run; False if it is not there to hear it."""
        run = gather(self.folder)
        if run.state["state"] not in ("running", "paused"):
            return False
        ask(self.folder, what)
        return True

    def _now(self) -> tuple[Run, list[Part]]:
        with self._lock:  # several windows may look at once
            seen = _fingerprint(self.folder)
            run = gather(self.folder)
            if seen != self._seen or run.state["state"] != self._run.state["state"]:
                self._seen, self._parts = seen, parts([run])
            self._run = run
            return run, self._parts


def _fingerprint(folder: Path) -> list[tuple[str, int]]:
    """Files that the page shows, with the time of their last change."""
    names = ("*.json", "*.yaml", "*.jsonl", "samples/*", "surrogate/*.json")
    found = [path for name in names for path in folder.glob(name) if path.name != "state.json"]
    return sorted((str(path), path.stat().st_mtime_ns) for path in found if path.exists())


class Server(ThreadingHTTPServer):
    """Listens on this machine alone.

    Raises:
        RunFolderError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, live: LivePage, port: int) -> None:
        self.live, self.secret = live, secrets.token_urlsafe(18)
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            raise RunFolderError(f"--port {port}: {error}; choose another, or 0 for a free one") from error

    @property
    def address(self) -> str:
        """Of the page, with the secret in it."""
        return f"http://{HOST}:{self.server_address[1]}/{self.secret}/"


class Handler(BaseHTTPRequestHandler):
    """GET /SECRET/ is the page, GET /SECRET/parts what changed, POST /SECRET/wish a button."""

    server: Server
    server_version, sys_version = "lasro", ""
    timeout = 30

    def do_GET(self) -> None:
        """The page, or the parts of it that changed."""
        name = self._asked()
        try:
            if name == "":
                self._send(HTTPStatus.OK, self.server.live.whole(), "text/html")
            elif name == "parts":
                self._send(HTTPStatus.OK, json.dumps(self.server.live.changed(self._versions())), "application/json")
            else:
                self._refuse(HTTPStatus.NOT_FOUND)
        except RunFolderError as error:  # the folder was taken away
            self._send(HTTPStatus.GONE, str(error), "text/plain")

    def do_POST(self) -> None:
        """A button was pressed."""
        if self._asked() != "wish":
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        if not self._from_this_page():
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        wish = self._wish()
        if wish is None:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            self._refuse(HTTPStatus.NO_CONTENT if self.server.live.wish(wish) else HTTPStatus.CONFLICT)

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

    def _wish(self) -> str | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return None
        try:
            wish = json.loads(self.rfile.read(int(length)))["wish"]
        except (ValueError, KeyError, TypeError):
            return None
        return wish if wish in WISHES else None

    def _versions(self) -> dict[str, str]:
        try:
            found = json.loads(self.headers.get("X-Versions", ""))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, "" if status is HTTPStatus.NO_CONTENT else status.phrase, "text/plain")

    def _send(self, status: HTTPStatus, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a look every two seconds is no news."""
