"""`isolated:NAME`: a reward in a process of its own, and in the environment that it asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from reward_zoo.card import RewardCard
from reward_zoo.isolation.environment import Environment
from reward_zoo.isolation.process import Worker
from reward_zoo.serving.client import Remote
from reward_zoo.serving.config import check_packages
from reward_zoo.serving.endpoint import Away, Endpoint

DEATH_SECONDS = 1.0  # that may pass between a broken connection and the end of the process that held it


class Isolated(Remote):
    """Asks a worker that it starts; the card is the reward's own, without the gradient.

    A worker that has ended is started again and asked once more, with a warning; if it ends again, that is an error.
    """

    written: ClassVar[str] = "isolated:NAME, isolated:NAME:option=value or isolated:FILE.py:FUNCTION"
    card = RewardCard(
        name="isolated",
        summary="a reward in a process and packages of its own: isolated:NAME, isolated:FILE.py:FUNCTION",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        source="lasro's own protocol, on a Unix socket",
        license="that of the reward behind it",
    )

    def __init__(self, spec: str, environment: Environment, title: str) -> None:
        if not environment.separate:
            check_packages(title)
        worker = Worker(spec, environment, title)
        self._ask_at([WorkerEndpoint(worker)])
        facts = {"requirements": environment.requirements, "python": environment.python}
        self.card = replace(self.card, name=worker.name, **facts)


class WorkerEndpoint(Endpoint):
    """A server that is looked after here."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.url, worker.token, shown=worker.title)
        self.worker = worker

    def ask(self, method: str, path: str, content: bytes | None = None, media_type: str = "") -> bytes:
        """As `Endpoint.ask`, once more if the worker has ended.

        Raises:
            NoAnswerError: the worker ended twice.
        """
        worker, process = self.worker, self.worker.process
        if not worker.has_ended(process):
            try:
                return super().ask(method, path, content, media_type)
            except Away:
                if not worker.has_ended(process, DEATH_SECONDS):
                    raise
        process = worker.start_again(process)
        try:
            return super().ask(method, path, content, media_type)
        except Away as away:
            if not worker.has_ended(process, DEATH_SECONDS):
                raise
            raise worker.failure(process, "when it was asked, twice") from away
