"""`lasro serve`'s own application on a loopback port, in a thread of this process."""

from __future__ import annotations

import threading
import time

import reward_zoo
from reward_zoo.card import RewardCard
from reward_zoo.reward import Reward
from reward_zoo.serving.config import ServeConfig
from reward_zoo.serving.running import address_of, build, listen
from reward_zoo.serving.server import create_app


class Serving:
    """Serves rewards, given by spec or as they are, under their cards' names."""

    def __init__(self, *rewards: str | Reward, port: int = 0, token: str | None = None, **limits: float) -> None:
        loaded = [reward_zoo.load(reward) for reward in rewards]
        self.listening = listen("127.0.0.1", port)
        self.url, self.port = address_of(self.listening), self.listening.getsockname()[1]
        app = create_app({reward.card.name: reward for reward in loaded}, ServeConfig(**limits), token=token)
        self.server = build(app, 20)
        self.thread = threading.Thread(target=self.server.run, args=([self.listening],), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self.server.should_exit = True
        self.thread.join(20)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Slow(Reward):
    """Mean of each image once `release` is set; `batches` holds the shapes it was called with, `threads` who called."""

    card = RewardCard(name="slow", summary="a mean", range=(0, 1), typical=(0.5, 0.2), source="here", license="Apache-2.0")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches, self.threads, self.release = seconds, [], set(), threading.Event()
        self.release.set()

    def score(self, inputs):
        self.batches.append(tuple(inputs.images.shape))
        self.threads.add(threading.get_ident())
        self.release.wait(20)
        time.sleep(self.seconds)
        if inputs.prompts and "raise" in inputs.prompts:
            raise ValueError("as asked")
        return inputs.images.mean((1, 2, 3))


def until(condition, seconds: float = 10.0) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)
