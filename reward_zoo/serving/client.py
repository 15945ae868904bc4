"""`http://host:port/NAME`: a reward behind a server that speaks `protocol.py`, or behind several that share the work."""

from __future__ import annotations

import itertools
import json
import random
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from reward_zoo.card import RewardCard
from reward_zoo.errors import NoAnswerError, ProtocolError, UnknownRewardError, did_you_mean
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores
from reward_zoo.serving.endpoint import Away, Endpoint, seconds_for_an_answer
from reward_zoo.serving.protocol import SAFETENSORS, decode_card, decode_scores, encode_question
from reward_zoo.serving.question import Question

if TYPE_CHECKING:
    import torch

TRIES, FIRST_WAIT = 6, 0.25  # rounds of all servers; seconds after the first, then twice as long each, give or take half


class Remote(Reward):
    """Asks servers; its card is theirs, without the gradient.

    A batch is shared among the servers that answer, unless the score of an image depends on its batch. A server that does
    not answer is asked last for a while, and the others take over.
    """

    written: ClassVar[str] = "http://HOST:PORT/NAME"
    card = RewardCard(
        name="remote",
        summary="a reward on another machine or in another environment: http://host:port/NAME",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        source="lasro's own protocol: safetensors and JSON over HTTP",
        license="that of the reward behind it",
    )

    def __init__(self, *urls: str, token: str | None = None) -> None:
        self._ask_at([Endpoint(url, token) for url in urls])

    def _ask_at(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints
        self._turn = itertools.count()
        cards = self._cards()
        if any(card != cards[0] for card in cards):
            names = ", ".join(sorted({f"{card.name} (version {card.version})" for card in cards}))
            shown = ",".join(f"{endpoint.shown}/{endpoint.name}" for endpoint in endpoints)
            raise ProtocolError(f"{shown}: these servers do not serve the same reward: {names}; their cards differ")
        self.card = replace(cards[0], differentiable=False, weights=(), requires=(), extra="", requirements=(), python="")

    @property
    def elsewhere(self) -> bool:
        """Yes."""
        return True

    def score(self, inputs: RewardInputs) -> Scores:
        """What the servers say; an item they could not score is NaN."""
        return self._share(Question.of(self.endpoints[0].name, inputs))

    def score_latents(self, *, latents: torch.Tensor, prompts: Sequence[str] | None) -> Scores:
        """What the servers' surrogate says of latents."""
        lists = {} if prompts is None else {"prompts": list(prompts)}
        return self._share(Question(self.endpoints[0].name, {"latents": latents}, lists))

    def _share(self, question: Question) -> Scores:
        count = len(question)
        servers = sum(not endpoint.resting for endpoint in self.endpoints) or len(self.endpoints)
        shares = min(servers, count) if self.card.per_image else 1
        if shares == 1:
            return self._scores(question)
        with ThreadPoolExecutor(shares) as pool:
            return Scores.joined(list(pool.map(self._scores, question.split(shares))))

    def _scores(self, question: Question) -> Scores:
        bodies: dict[str, bytes] = {}  # by the reward's name on a server

        def ask(endpoint: Endpoint) -> bytes:
            name = endpoint.name
            if name not in bodies:
                bodies[name] = encode_question(replace(question, reward=name))
            return endpoint.ask("POST", "/score", bodies[name], SAFETENSORS)

        return decode_scores(ask_any(self.endpoints, ask, "/score", next(self._turn)), len(question))

    def _cards(self) -> list[RewardCard]:
        """Of the servers that are there, one at least; those that are not are warned of."""
        found, missing = [], []
        for endpoint in self.endpoints:
            try:
                found.append(_card(endpoint))
            except NoAnswerError as error:
                missing.append(error)
        if not found:
            raise missing[0]
        for error in missing:
            warnings.warn(f"{error}; the others take over", stacklevel=2)
        return found


def ask_any(endpoints: Sequence[Endpoint], ask: Any, path: str, turn: int = 0) -> bytes:  # noqa: ANN401 - Endpoint → bytes
    """The answer of the server that is least asked, else of the next; all of them again, a few times, with a jittered wait.

    A server that is alive but says when to come back is waited for as long as for an answer.

    Raises:
        NoAnswerError: none answers.
        RewardError: what a server says no with.
    """
    places, limit, tries, reasons = len(endpoints), seconds_for_an_answer(), 0, {}
    end = time.monotonic() + limit
    while True:
        waits = []
        order = sorted(range(places), key=lambda at: (endpoints[at].resting, endpoints[at].in_flight, (at - turn) % places))
        for endpoint in (endpoints[at] for at in order):
            try:
                return ask(endpoint)
            except Away as away:
                reasons[endpoint.shown + path] = str(away)
                waits += [] if away.after is None else [away.after]
        tries += not waits
        pause = (min(waits) if waits else FIRST_WAIT * 2 ** (tries - 1)) * (0.5 + random.random())  # noqa: S311 - jitter
        if tries == TRIES or time.monotonic() + pause > end:
            break
        time.sleep(pause)
    said = "; ".join(f"{url}: {reason}" for url, reason in reasons.items()) if places > 1 else next(iter(reasons.values()))
    bound = f"after {tries} {'try' if tries == 1 else 'tries'}" if tries else f"within {limit:g} s"
    raise NoAnswerError(f"{', '.join(reasons)}: no answer {bound} ({said}); start the server, or mend the address")


def _card(endpoint: Endpoint) -> RewardCard:
    body = ask_any([endpoint], lambda one: one.ask("GET", "/rewards"), "/rewards")
    try:
        cards = {card["name"]: card for card in json.loads(body) if isinstance(card["name"], str)}
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError(f"{endpoint.shown}/rewards: no list of cards; is that a lasro server?") from error
    if endpoint.name not in cards:
        raise UnknownRewardError(f"{endpoint.shown} serves no reward {endpoint.name!r}; {did_you_mean(endpoint.name, cards)}")
    return decode_card(cards[endpoint.name])
