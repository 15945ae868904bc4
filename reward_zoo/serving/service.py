"""What happens to one request for scores: admitted, read, queued, answered, counted and logged, or refused with a reason."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request

from reward_zoo.errors import LasroError, RewardFailedError, UnknownRewardError, did_you_mean
from reward_zoo.reward import Reward
from reward_zoo.scores import Scores
from reward_zoo.serving.batching import Batcher
from reward_zoo.serving.config import ServeConfig
from reward_zoo.serving.json_body import decode_json
from reward_zoo.serving.metrics import Metrics
from reward_zoo.serving.protocol import JSON, SAFETENSORS, decode_question, encode_scores
from reward_zoo.serving.question import Question

logger = logging.getLogger("lasro.serve")
RETRY_AFTER = 1  # seconds
QUEUED_BODIES = 8  # bodies of the largest size that may wait at once


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: int, reason: str, *, kind: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.kind, self.headers = status, reason, kind, headers or {}


@dataclass
class Facts:
    """What is logged of a request: never its pictures, never its texts."""

    reward: str = ""
    images: int = 0
    size: str = ""
    bytes: int = 0
    status: int = 200
    failed: int = 0
    batch: int = 0
    waited_ms: float = 0.0
    ms: float = 0.0
    reason: str = ""


class Service:
    """Rewards by the names they are served under, each with its queue."""

    def __init__(self, rewards: Mapping[str, Reward], config: ServeConfig) -> None:
        self.config = config
        self.waiting = self.waiting_bytes = 0
        self.metrics = Metrics(lambda: self.waiting)
        self.batchers = {
            name: Batcher(
                reward,
                max_batch=config.max_batch,
                max_wait=config.max_wait_ms / 1000,
                batched=self.metrics.batches.labels(name).observe,
            )
            for name, reward in rewards.items()
        }

    def close(self) -> None:
        """Finish what is queued."""
        for batcher in self.batchers.values():
            batcher.close(self.config.stop_timeout)

    async def answer(self, request: Request) -> bytes:
        """The body of the answer to one request.

        Raises:
            Refusal: there is none.
        """
        began, facts = time.perf_counter(), Facts()
        try:
            return await self._answer(request, facts)
        except Refusal as refusal:
            facts.status, facts.reason = refusal.status, refusal.reason
            raise
        except Exception as error:
            facts.status, facts.reason = 500, type(error).__name__
            logger.exception("a request failed")
            raise Refusal(500, f"the server failed ({type(error).__name__}); its log says more") from error
        finally:
            facts.ms = round(1000 * (time.perf_counter() - began), 2)
            self._note(facts)

    async def _answer(self, request: Request, facts: Facts) -> bytes:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in (SAFETENSORS, JSON):
            what = f"a body of {media_type}" if media_type else "a body without Content-Type"
            raise Refusal(415, f"{what} is not read; send {SAFETENSORS} or {JSON}. Pickle is never read")
        length = request.headers.get("content-length", "")
        declared = int(length) if length.isdecimal() else self.config.max_body
        self._check_size(declared)
        with self._admitted(declared):
            stage = ["the request did not arrive"]
            try:
                return await asyncio.wait_for(self._score(request, media_type, facts, stage), self.config.timeout)
            except asyncio.TimeoutError as error:
                status = 504 if len(stage) > 1 else 408
                raise Refusal(status, f"{stage[-1]} within {self.config.timeout:g} s; send less at once") from error
            except LasroError as error:
                raise Refusal(_status(error), str(error), kind=type(error).__name__) from error
            except ClientDisconnect as error:
                raise Refusal(400, "the client went away") from error

    async def _score(self, request: Request, media_type: str, facts: Facts, stage: list[str]) -> bytes:
        body = await self._read(request)
        facts.bytes = len(body)
        stage.append("no scores")
        question, errors = await asyncio.to_thread(self._decode, body, media_type)
        del body
        if question is None:
            facts.images = facts.failed = len(errors)
            return encode_scores(_none(len(errors)), errors)
        batcher = self._batcher(question)
        facts.reward, facts.images = question.reward, len(errors) or len(question)
        facts.size = "×".join(map(str, next(iter(question.tensors.values())).shape[2:]))
        if facts.images > self.config.max_images:
            raise Refusal(422, f"{facts.images} images are more than the {self.config.max_images} that are taken at once")
        outcome = await asyncio.wrap_future(batcher.submit(question))
        facts.waited_ms, facts.batch = round(1000 * outcome.waited, 2), outcome.batch
        self.metrics.waited.labels(question.reward).observe(outcome.waited)
        scores = outcome.scores
        if any(errors):
            scores = scores.spread_over([row for row, error in enumerate(errors) if error is None], len(errors))
        facts.failed = int((~scores.valid).sum())
        return encode_scores(scores, errors or None)

    async def _read(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            self._check_size(len(body))
        return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self.config.max_body:
            raise Refusal(413, f"the body is larger than the {self.config.max_body_mb:g} MB that are taken; send fewer images")

    def _decode(self, body: bytes, media_type: str) -> tuple[Question | None, list[str | None]]:
        if media_type == JSON:
            return decode_json(body, 4 * self.config.max_body)
        return decode_question(body), []

    def _batcher(self, question: Question) -> Batcher:
        if question.reward not in self.batchers:
            hint = did_you_mean(question.reward[:100], self.batchers)
            raise UnknownRewardError(f"no reward {question.reward[:100]!r} is served here; {hint}")
        return self.batchers[question.reward]

    @contextmanager
    def _admitted(self, size: int) -> Iterator[None]:
        """A place in the bounded queue, taken before the body is read, so that bodies cannot fill the memory."""
        full = self.waiting >= self.config.max_queue
        if full or (self.waiting and self.waiting_bytes + size > QUEUED_BODIES * self.config.max_body):
            reason = f"{self.waiting} requests wait already; come back in {RETRY_AFTER} s"
            raise Refusal(503, reason, headers={"Retry-After": str(RETRY_AFTER)})
        self.waiting, self.waiting_bytes = self.waiting + 1, self.waiting_bytes + size
        try:
            yield
        finally:
            self.waiting, self.waiting_bytes = self.waiting - 1, self.waiting_bytes - size

    def _note(self, facts: Facts) -> None:
        name = facts.reward or "none"  # only names that are served, so that nobody can fill the metrics
        self.metrics.requests.labels(name, facts.status).inc()
        self.metrics.seconds.labels(name).observe(facts.ms / 1000)
        if facts.status == 200:
            self.metrics.images.labels(name).inc(facts.images)
            self.metrics.failed.labels(name).inc(facts.failed)
        reason = {} if facts.status != 422 else {"reason": ""}  # what is wrong with a text may quote it
        said: dict[str, Any] = {key: value for key, value in (asdict(facts) | reason).items() if value not in ("", 0, 0.0)}
        logger.log(logging.INFO if facts.status < 500 else logging.WARNING, "score", extra={"facts": said})


def _status(error: LasroError) -> int:
    if isinstance(error, RewardFailedError):
        return 500
    return 404 if isinstance(error, UnknownRewardError) else 422


def _none(count: int) -> Scores:
    import torch

    return Scores(torch.full((count,), float("nan")))
