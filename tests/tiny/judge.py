"""An OpenAI-compatible endpoint on loopback that judges by brightness, and fails where a prompt asks it to."""

from __future__ import annotations

import base64
import io
import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


class Handler(BaseHTTPRequestHandler):
    """Scores 1 + 4·brightness; prompts with "garbage", "refuse" or "flaky" get what they name."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        image, text = body["messages"][0]["content"]
        if "refuse" in text["text"]:
            return self.answer(400, {"error": "refused"})
        if "flaky" in text["text"] and self.server.fail_once():
            return self.answer(503, {"error": "busy"})
        png = base64.b64decode(image["image_url"]["url"].partition(",")[2])
        light = float(np.asarray(Image.open(io.BytesIO(png))).mean() / 255)
        score = 1 + 4 * light
        said = "I cannot say." if "garbage" in text["text"] else f"Score: {score:.3f}"
        if "three lines" in text["text"]:
            said = f"Alignment Score (1-5): {score:.3f}\nCoherence Score (1-5): 5\nStyle Score (1-5): 1"
        tops = [("Yes", 0.6 * light), (" yes", 0.2 * light), ("No", 0.8 * (1 - light)), ("Maybe", 0.1)]
        logprobs = {"content": [{"top_logprobs": [{"token": t, "logprob": math.log(max(p, 1e-9))} for t, p in tops]}]}
        return self.answer(200, {"choices": [{"message": {"content": said}, "logprobs": logprobs}]})

    def answer(self, status: int, data: dict) -> None:
        payload = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments: object) -> None:
        """Silent."""


class Endpoint(ThreadingHTTPServer):
    """Runs in a thread until the process ends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict] = []
        self.failures = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fail_once(self) -> bool:
        self.failures += 1
        return self.failures == 1


SPECS = {
    "vlm_judge": lambda folder: f"vlm_judge:base_url={Endpoint().url}",
    "unified_reward": lambda folder: f"unified_reward:base_url={Endpoint().url}",
}
