"""`http://host:port/NAME`: a reward behind a server that speaks `reward_zoo/protocol.py`."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import replace
from typing import Any, ClassVar

from reward_zoo.card import RewardCard
from reward_zoo.errors import ProtocolError, RewardFailedError, UnknownRewardError, did_you_mean
from reward_zoo.protocol import HEADER, VERSION, decode_card, decode_scores, encode_request
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores

TOKEN_VARIABLE = "LASRO_TOKEN"  # noqa: S105 - a variable's name
TRIES, FIRST_WAIT, TIMEOUT = 4, 0.2, 300.0  # the wait doubles, give or take half; seconds
BUSY = (429, 502, 503, 504)


class Remote(Reward):
    """Asks a server; its card is the server's, without the gradient."""

    written: ClassVar[str] = "http://HOST:PORT/NAME"
    card = RewardCard(
        name="remote",
        summary="a reward on another machine or in another environment: http://host:port/NAME",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        source="lasro's own protocol: safetensors and JSON over HTTP",
        license="that of the reward behind it",
    )

    def __init__(self, url: str) -> None:
        self.base, _, self.name = url.rstrip("/").rpartition("/")
        cards = {card["name"]: card for card in self._cards()}
        if self.name not in cards:
            raise UnknownRewardError(f"{self.base} serves no reward {self.name!r}; {did_you_mean(self.name, cards)}")
        theirs = decode_card(cards[self.name])
        self.card = replace(theirs, differentiable=False, weights=(), requires=(), extra="")

    def score(self, inputs: RewardInputs) -> Scores:
        """What the server says; an item it could not score is NaN."""
        body = self._ask("POST", "/score", content=encode_request(self.name, inputs))
        return decode_scores(body, len(inputs.images))

    def _cards(self) -> list[dict[str, Any]]:
        try:
            cards = json.loads(self._ask("GET", "/rewards"))
            return [card for card in cards if isinstance(card["name"], str)]
        except (ValueError, TypeError, KeyError) as error:
            raise ProtocolError(f"{self.base}/rewards: no list of cards; is that a lasro server?") from error

    def _ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        """The body of a good answer; a server that is busy or away is asked again, a few times.

        Raises:
            RewardFailedError: no answer, or one that says no.
            ProtocolError: it speaks another version.
        """
        import httpx

        headers = {HEADER: VERSION} | (
            {"Authorization": f"Bearer {token}"} if (token := os.environ.get(TOKEN_VARIABLE)) else {}
        )
        url, reason = self.base + path, ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(FIRST_WAIT * 2 ** (attempt - 1) * (0.5 + random.random()))  # noqa: S311 - jitter
            try:
                answer = httpx.request(method, url, content=content, headers=headers, timeout=TIMEOUT)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                continue
            except httpx.InvalidURL as error:
                raise RewardFailedError(f"{url}: {error}; write http://HOST:PORT/NAME") from error
            if answer.status_code in BUSY:
                reason = f"it answered {answer.status_code}"
                continue
            return self._body(url, answer)
        raise RewardFailedError(f"{url}: no answer after {TRIES} tries ({reason}); start the server, or mend the address")

    def _body(self, url: str, answer: Any) -> bytes:  # noqa: ANN401 - httpx.Response
        if answer.status_code in (401, 403):
            raise RewardFailedError(f"{url}: not allowed ({answer.status_code}); set {TOKEN_VARIABLE} to the server's token")
        if answer.is_error:
            raise RewardFailedError(f"{url}: {answer.status_code}: {_reason(answer.text)}")
        spoken = answer.headers.get(HEADER)
        if spoken != VERSION:
            raise ProtocolError(
                f"{url}: speaks protocol {spoken or 'none'}, not {VERSION}; is that a lasro server of this version?"
            )
        return answer.content


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200].strip() or "no reason given"
