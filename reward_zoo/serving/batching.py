"""Requests of many clients, scored together: one queue and one thread for each reward, since rewards are not thread-safe."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from reward_zoo.errors import LasroError, RewardFailedError
from reward_zoo.reward import Reward
from reward_zoo.scores import Scores
from reward_zoo.serving.question import Question


@dataclass(frozen=True)
class Outcome:
    """A question's scores, the seconds it waited for its turn, and the number of images it was scored with."""

    scores: Scores
    waited: float
    batch: int


@dataclass(eq=False)
class _Job:
    question: Question
    future: Future[Outcome] = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)


class Batcher:
    """Asks one reward about what is submitted, oldest first.

    Questions of one `Question.key` share a call, up to `max_batch` images. The first of them waits for others, `max_wait`
    seconds at most and no longer than the last call took: longer would cost more than a shared call saves. A question that is
    larger than a batch goes alone and whole. If a shared call fails, each question is asked by itself, so that
    nobody pays for another's mistake. `batched` is told the images of every call.
    """

    def __init__(
        self, reward: Reward, *, max_batch: int, max_wait: float, batched: Callable[[int], None] = lambda images: None
    ) -> None:
        self.reward, self.max_wait, self.batched = reward, max_wait, batched
        self.max_batch = max_batch if reward.card.per_image else 1
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed, self._last_call = False, 0.0
        self._thread = threading.Thread(target=self._work, name=f"reward {reward.card.name}", daemon=True)
        self._thread.start()

    def submit(self, question: Question) -> Future[Outcome]:
        """Queue a question; cancelling what is returned takes it out again, unless it is being scored."""
        job = _Job(question)
        with self._changed:
            if self._closed:
                raise RewardFailedError(f"{question.reward}: the server is stopping")
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def close(self, timeout: float | None = None) -> None:
        """Finish what is queued, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while self._score(self._next()):
            pass

    def _next(self) -> list[_Job]:
        """The oldest job and those that share its call, not cancelled any more; empty when closed and done."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if not self._jobs:
                return []
            due = self._jobs[0].arrived + min(self.max_wait, self._last_call)
            while not self._closed and self._images(self._together()) < self.max_batch:
                left = due - time.perf_counter()
                if left <= 0 or self.max_batch == 1:
                    break
                self._changed.wait(left)
            chosen = self._together()
            self._jobs = deque(job for job in self._jobs if job not in chosen)
        return chosen

    def _together(self) -> list[_Job]:
        chosen, first = [], self._jobs[0].question
        for job in self._jobs:
            if job.question.key != first.key:
                continue
            if chosen and self._images(chosen) + len(job.question) > self.max_batch:
                break
            chosen.append(job)
        return chosen

    @staticmethod
    def _images(jobs: list[_Job]) -> int:
        return sum(len(job.question) for job in jobs)

    def _score(self, jobs: list[_Job]) -> bool:
        """Whether there was anything; jobs that were cancelled are left out."""
        live, began = [job for job in jobs if job.future.set_running_or_notify_cancel()], time.perf_counter()
        if not live:
            return bool(jobs)
        try:
            scores = Question.joined([job.question for job in live]).ask(self.reward)
        except BaseException as error:  # the thread outlives whatever a reward does
            if len(live) > 1:
                for job in live:
                    self._score_alone(job, began)
            else:
                live[0].future.set_exception(_named(error))
            return True
        self._last_call, start = time.perf_counter() - began, 0
        self.batched(len(scores))
        for job in live:
            stop = start + len(job.question)
            job.future.set_result(Outcome(scores.rows(start, stop), began - job.arrived, len(scores)))
            start = stop
        return True

    def _score_alone(self, job: _Job, began: float) -> None:
        try:
            scores = job.question.ask(self.reward)
        except BaseException as error:
            job.future.set_exception(_named(error))
        else:
            self.batched(len(scores))
            job.future.set_result(Outcome(scores, began - job.arrived, len(scores)))


def _named(error: BaseException) -> LasroError:
    return error if isinstance(error, LasroError) else RewardFailedError(f"the reward raised {type(error).__name__}: {error}")
