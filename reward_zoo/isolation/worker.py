"""The process behind `isolated:…`: serves one reward on a Unix socket for as long as the process that started it lives.

python FOLDER PARENT SPEC, with the token in LASRO_WORKER_TOKEN; FOLDER is private, and process.py prepared it. One line of JSON
goes to stdout when the reward is loaded, {"name": …}, or cannot be, {"error": …, "kind": …}; what the reward prints goes to
stderr. Standard input is held open by the parent, and its end is the parent's.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import shutil
import sys
import threading
from pathlib import Path

from reward_zoo.errors import LasroError
from reward_zoo.isolation.process import NAME, SOCKET, TOKEN_VARIABLE
from reward_zoo.loading import load_here
from reward_zoo.serving.config import ServeConfig
from reward_zoo.serving.running import listen_unix, run
from reward_zoo.serving.server import create_app

# The only client is the parent, which has bounds of its own: what it asks is scored as it asks it, as in process.
LIMITS = ServeConfig(max_batch=1, max_body_mb=2**20, max_images=10**6, timeout=1e6, stop_timeout=1)


def main() -> None:
    """Until the parent ends, or a signal."""
    folder, parent, spec = Path(sys.argv[0]), int(sys.argv[1]), sys.argv[2]
    token = os.environ.pop(TOKEN_VARIABLE)
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        faulthandler.enable()
        threading.Thread(target=_end_with, args=(parent, folder), daemon=True).start()
        try:
            reward = load_here(spec)
        except LasroError as error:
            answer.write(json.dumps({"error": str(error), "kind": type(error).__name__}) + "\n")
            return
        listening = listen_unix(folder / SOCKET)
        app = create_app({NAME: reward}, LIMITS, token=token)
        answer.write(json.dumps({"name": reward.card.name}) + "\n")
    with listening:
        run(app, listening, LIMITS.stop_timeout)


def _end_with(parent: int, folder: Path) -> None:
    """Clear up and leave when the parent has died. A fork of it may still hold its end of the pipe, but is not our parent."""
    while not select.select([0], [], [], 1.0)[0] and os.getppid() == parent:
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)
