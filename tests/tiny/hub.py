"""A hub in miniature on loopback: the few routes that fetching takes, over folders."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 39 + "1"


@contextmanager
def hub(repositories: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as repositories by their ids: the address, and the paths that were asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            asked.append(path)
            if path.startswith("api/models/"):
                self._api(path.removeprefix("api/models/").split("/"))
                return
            owner, name, route, _, *rest = [*path.split("/"), "", "", "", ""]
            file = repositories.get(f"{owner}/{name}", Path("/nowhere")) / "/".join(filter(None, rest))
            if route != "resolve" or not file.is_file():
                self._answer(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
                return
            held = file.read_bytes()
            etag = hashlib.sha256(held).hexdigest()
            self._answer(200, held, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body)

        def _api(self, parts: list[str]) -> None:
            folder = repositories.get("/".join(parts[:2]))
            if folder is None:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                return
            files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
            names = [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]
            if "tree" in parts:
                found: object = [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in names]
            else:
                siblings = [{"rfilename": name} for name, _ in names]
                found = {"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self._answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

        def _answer(self, code: int, content: bytes, headers: dict[str, str], body: bool = True) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
