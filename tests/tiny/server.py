"""The smallest server that speaks lasro's protocol, on a loopback port: one thread, standard library."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import reward_zoo
from reward_zoo.errors import LasroError
from reward_zoo.serving.protocol import HEADER, VERSION, decode_question, encode_scores


class Server:
    """Serves rewards by spec; `faults` holds (status, body, version) answers that are given first, `seen` the headers."""

    def __init__(self, *specs: str) -> None:
        self.rewards = {(reward := reward_zoo.load(spec)).card.name: reward for spec in specs}
        self.faults: list[tuple[int, bytes, str | None]] = []
        self.seen: list[dict[str, str]] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        """Stop, and free the port."""
        self.http.shutdown()
        self.http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cards = [reward.card.as_dict() for reward in server.rewards.values()]
                self.answer(200, json.dumps(cards).encode(), VERSION)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    question = decode_question(body)
                    scores = question.ask(server.rewards[question.reward])
                except LasroError as error:
                    self.answer(422, json.dumps({"error": str(error)}).encode(), VERSION)
                else:
                    self.answer(200, encode_scores(scores), VERSION)

            def answer(self, status: int, body: bytes, version: str | None) -> None:
                server.seen.append(dict(self.headers))
                if server.faults:
                    status, body, version = server.faults.pop(0)
                self.send_response(status)
                if version:
                    self.send_header(HEADER, version)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
