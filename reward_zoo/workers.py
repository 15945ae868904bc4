"""Rewards in processes of their own on this machine: `--reward-workers N`.

A reward that computes on the CPU competes with the generator for the interpreter and waits for one core. Here N processes
each load it from its spec, and a batch is split among them, unless an image's score depends on its batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from reward_zoo.composite import Composite
from reward_zoo.devices import cpu_threads
from reward_zoo.errors import RewardFailedError, SpecError
from reward_zoo.loading import load
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores
from reward_zoo.serving.protocol import decode_question, decode_scores, encode_question, encode_scores
from reward_zoo.serving.question import Question

if TYPE_CHECKING:
    import torch

_loaded: dict[str, Reward] = {}  # in a worker: what it was asked for, by spec


class RewardWorkers:
    """`count` processes that score; they start when they are first asked, and end with `close` or with this process.

    Each has its share of the cores. No pickles of tensors pass: questions and scores travel as they do to a server.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        context = multiprocessing.get_context("spawn")
        lifeline, self._mine = context.Pipe(duplex=False)
        given = (lifeline, max(1, cpu_threads() // count))
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=given)

    def score(self, spec: str, question: Question, *, shares: int) -> Scores:
        """What the reward of a spec says, `shares` workers scoring a part each.

        Raises:
            RewardError: what the reward raises, in the worker.
            RewardFailedError: a worker died.
        """
        parts = question.split(shares)
        try:
            asked = [self._pool.submit(_score, spec, encode_question(part)) for part in parts]
            answers = [one.result() for one in asked]
        except BrokenProcessPool as error:
            raise RewardFailedError(
                f"{spec}: a reward worker died, perhaps for want of memory; give fewer --reward-workers (now {self.count})"
            ) from error
        return Scores.joined([decode_scores(answer, len(part)) for answer, part in zip(answers, parts, strict=True)])

    def close(self) -> None:
        """End the processes, also one that is scoring."""
        self._mine.close()
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def reward_workers(count: int) -> Iterator[RewardWorkers | None]:
    """`count` workers; None for 0.

    Raises:
        SpecError: a count below 0.
    """
    if count < 0:
        raise SpecError(f"--reward-workers {count}: must be 0 (none) or more")
    workers = RewardWorkers(count) if count else None
    try:
        yield workers
    finally:
        if workers:
            workers.close()


def in_workers(spec: str, workers: RewardWorkers | None) -> Reward:
    """`load(spec)`, scored by workers where there are any; of a composite, each member is. What is elsewhere stays there."""
    reward = load(spec)
    if workers is None:
        return reward
    if isinstance(reward, Composite):
        reward.members = [replace(member, reward=in_workers(member.spec, workers)) for member in reward.members]
        return reward
    return reward if reward.elsewhere else InWorkers(reward, spec, workers)


class InWorkers(Reward):
    """A reward whose scores come from workers. What needs no other process (gradients, latents, hindsight) is answered here."""

    def __init__(self, reward: Reward, spec: str, workers: RewardWorkers) -> None:
        self.reward, self.spec, self.workers, self.card = reward, spec, workers, reward.card

    @property
    def elsewhere(self) -> bool:
        """Yes."""
        return True

    @property
    def has_hindsight(self) -> bool:
        """The reward's own."""
        return self.reward.has_hindsight

    def hindsight(self, *question: Any, **known: Any) -> tuple[str, float] | None:  # noqa: ANN401 - as Reward.hindsight
        """The reward's own."""
        return self.reward.hindsight(*question, **known)

    def score_latents(self, *, latents: torch.Tensor, prompts: Sequence[str] | None) -> Scores:
        """The reward's own."""
        return self.reward.score_latents(latents=latents, prompts=prompts)

    def score(self, inputs: RewardInputs) -> Scores:
        """The workers' scores."""
        if inputs.images.requires_grad:
            return self.reward.score(inputs)
        shares = min(self.workers.count, len(inputs.images)) if self.card.per_image else 1
        return self.workers.score(self.spec, Question.of(self.card.name, inputs), shares=shares)


def _start(lifeline: Connection, threads: int) -> None:
    """In a worker, before anything heavy is imported: its threads, and its end with the process that started it."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.dup2(2, 1)  # stdout is the data of the command that started it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent ends its workers
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def _end_with_parent(lifeline: Connection) -> None:
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os._exit(1)


def _score(spec: str, question: bytes) -> bytes:
    if spec not in _loaded:
        _loaded[spec] = load(spec)
    return encode_scores(decode_question(question).ask(_loaded[spec]))
