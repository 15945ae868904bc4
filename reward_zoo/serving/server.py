"""The routes of `lasro serve`, as a FastAPI application."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reward_zoo.reward import Reward
from reward_zoo.serving.config import ServeConfig
from reward_zoo.serving.json_body import ErrorAnswer, ScoreAnswer, ScoreRequest
from reward_zoo.serving.protocol import HEADER, JSON, SAFETENSORS, VERSION, encode_error
from reward_zoo.serving.service import Refusal, Service

DESCRIPTION = "Image rewards over HTTP: docs/serving.md. Scores are higher-is-better; null marks an image that has none."
FAULTS = {
    400: "Another version of the protocol.",
    401: "No token, or a wrong one.",
    404: "No such reward.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "Neither safetensors nor JSON.",
    422: "What was asked cannot be scored.",
    500: "The reward failed.",
    503: "Too many requests wait; Retry-After says when to come back.",
    504: "No scores in time.",
}
_BEARER = HTTPBearer(auto_error=False, description="The server's token, if it has one.")


class Health(BaseModel):
    """A server that is up."""

    status: str
    protocol: str
    lasro: str
    rewards: list[str]
    waiting: int


def create_app(rewards: Mapping[str, Reward], config: ServeConfig | None = None, *, token: str | None = None) -> FastAPI:
    """The application that serves `rewards` under their names; with a `token`, only to those who send it."""
    service = Service(rewards, config or ServeConfig())
    cards = [replace(reward.card, name=name).as_dict() for name, reward in rewards.items()]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="lasro serve", version=_lasro(), description=DESCRIPTION, lifespan=lifespan)
    app.add_middleware(_Version)
    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(StarletteHTTPException, _refuse_http)
    allowed = [Depends(_allowed(token))]
    faults: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": text} for status, text in FAULTS.items()
    }
    kinds = {
        JSON: {"schema": ScoreRequest.model_json_schema()},
        SAFETENSORS: {"schema": {"type": "string", "format": "binary", "description": "As reward_zoo/serving/protocol.py."}},
    }

    @app.get("/health")
    async def health() -> Health:
        """Is it up, and how much waits? Needs no token."""
        return Health(status="ok", protocol=VERSION, lasro=_lasro(), rewards=list(service.batchers), waiting=service.waiting)

    @app.get("/rewards", dependencies=allowed, responses={401: faults[401]})
    async def cards_of_rewards() -> list[dict[str, Any]]:
        """The cards of what is served."""
        return cards

    @app.post(
        "/score",
        dependencies=allowed,
        response_model=ScoreAnswer,
        responses=faults,
        openapi_extra={"requestBody": {"required": True, "content": kinds}},
    )
    async def score(request: Request) -> Response:
        """Score pictures (or latents, by a surrogate) with one reward."""
        return Response(await service.answer(request), media_type=JSON)

    @app.get("/metrics", dependencies=allowed, responses={200: {"content": {"text/plain": {}}}, 401: faults[401]})
    async def metrics() -> Response:
        """For Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST

        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return app


def _lasro() -> str:
    """Its version; a worker in an environment of its own has the code without the package."""
    try:
        return version("lasro")
    except PackageNotFoundError:
        return "not installed"


def _allowed(token: str | None) -> Callable[..., None]:
    def check(credentials: HTTPAuthorizationCredentials | None = Security(_BEARER)) -> None:  # noqa: B008 - FastAPI's way
        given = credentials.credentials if credentials else ""
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            raise Refusal(401, "send the server's token: Authorization: Bearer …", headers={"WWW-Authenticate": "Bearer"})

    return check


async def _refuse(_: Request, refusal: Refusal) -> Response:
    return Response(encode_error(refusal.reason, refusal.kind), refusal.status, refusal.headers, JSON)


async def _refuse_http(_: Request, error: HTTPException) -> Response:
    return Response(encode_error(str(error.detail)), error.status_code, error.headers, JSON)


class _Version:
    """States the protocol's version in every answer, and refuses a request that states another."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def stated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER.lower().encode(), VERSION.encode())]
            await send(message)

        asked = dict(scope["headers"]).get(HEADER.lower().encode(), VERSION.encode()).decode(errors="replace")
        app: Callable[[Scope, Receive, Send], Awaitable[None]] = self.app
        if asked != VERSION:
            app = Response(encode_error(f"this server speaks protocol {VERSION}, not {asked[:20]}"), 400, None, JSON)
        return await app(scope, receive, stated)
