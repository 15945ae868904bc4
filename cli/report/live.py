"""`lasro watch`'s page: one run, refreshed, with buttons that ask the run to pause or stop."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cli.local_page import Answer, LocalHandler, LocalServer, as_json, refusal
from cli.report.gather import Run, gather
from cli.report.page import Part, page, parts, state_part
from surrogate.errors import RunFolderError
from surrogate.runs.state import WISHES, ask

EVERY_SECONDS = 2  # between two looks of the page


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


class Server(LocalServer):
    """Serves a run's live page; raises as `LocalServer` does."""

    def __init__(self, live: LivePage, port: int) -> None:
        self.live = live
        super().__init__(Handler, port)


class Handler(LocalHandler):
    """GET /SECRET/ is the page, GET /SECRET/parts what changed, POST /SECRET/wish a button."""

    server: Server

    def get(self, name: str) -> Answer | None:
        """The page, or the parts of it that changed."""
        try:
            if name == "":
                return Answer(self.server.live.whole(), "text/html")
            return as_json(self.server.live.changed(self._versions())) if name == "parts" else None
        except RunFolderError as error:  # the folder was taken away
            return Answer(str(error), status=HTTPStatus.GONE)

    def post(self, name: str, told: Any) -> Answer | None:  # noqa: ANN401 - any JSON
        """A button was pressed."""
        if name != "wish":
            return None
        wish = told.get("wish") if isinstance(told, dict) else None
        if wish not in WISHES:
            return refusal(HTTPStatus.BAD_REQUEST)
        return refusal(HTTPStatus.NO_CONTENT if self.server.live.wish(wish) else HTTPStatus.CONFLICT)

    def _versions(self) -> dict[str, str]:
        try:
            found = json.loads(self.headers.get("X-Versions", ""))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
