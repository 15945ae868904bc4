"""How rewards are asked over HTTP: one request and one answer, exact to the bit, never pickle.

POST /score      `application/x-safetensors`: `images` (B×3×H×W, float32 in [0, 1] or uint8) and perhaps `references`, or
                 `latents` (B×C×h×w); the metadata's key `request` is JSON: reward, prompts, targets, metadata.
                 `application/json`: the same with pictures as base64 of PNG or WebP (json_body.py).
                 Answer: JSON with values, valid, errors, components, perceived; the value of an item that failed is null.
GET  /rewards    the cards, as JSON.
GET  /health     what is served, and how much waits.

Both sides send the header `X-Lasro-Protocol`. An error is JSON: `error` says why, `kind` names the class in errors.py.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import ProtocolError
from reward_zoo.scores import Scores
from reward_zoo.serving.question import LISTS, Question

HEADER = "X-Lasro-Protocol"
VERSION = "1"
SAFETENSORS, JSON = "application/x-safetensors", "application/json"


def encode_question(question: Question) -> bytes:
    """The body of a question, as safetensors."""
    from safetensors.torch import save

    asked = {"reward": question.reward, **{name: question.lists.get(name) for name in LISTS}}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in question.tensors.items()}
    return save(tensors, metadata={"request": json.dumps(asked)})


def decode_question(body: bytes) -> Question:
    """The question in a safetensors body.

    Raises:
        ProtocolError: there is none.
    """
    from safetensors.torch import load

    try:
        (length,) = struct.unpack("<Q", body[:8])
        asked = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["request"])
        tensors = load(body)
        lists = {name: asked[name] for name in LISTS if asked.get(name) is not None}
        reward = asked["reward"]
    except Exception as error:
        raise ProtocolError(f"the request is no safetensors body of a question ({type(error).__name__}: {error})") from error
    return Question(reward, tensors, lists)


def encode_scores(scores: Scores, errors: Sequence[str | None] | None = None) -> bytes:
    """The body of an answer; `errors` says why an item has no score, where that is known."""
    valid = scores.valid.tolist()
    said = errors or [None] * len(valid)
    answer = {
        "values": _with_null(scores.values.tolist()),
        "valid": valid,
        "errors": [None if fine else why or "the reward gave no score" for fine, why in zip(valid, said, strict=True)],
        "components": {name: _with_null(part.tolist()) for name, part in scores.components.items()},
        "perceived": scores.perceived,
    }
    return json.dumps(answer, allow_nan=False).encode()


def decode_scores(body: bytes, count: int) -> Scores:
    """An answer about `count` images.

    Raises:
        ProtocolError: the body is no such answer.
    """
    import torch

    def tensor(values: list[float | None]) -> torch.Tensor:
        if len(values) != count:
            raise ValueError(f"{len(values)} numbers for {count} images")
        return torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float32)

    try:
        answer = json.loads(body)
        parts = {name: tensor(part) for name, part in answer["components"].items()}
        return Scores(tensor(answer["values"]), parts, answer["perceived"])
    except Exception as error:
        raise ProtocolError(f"the answer is not one of scores ({type(error).__name__}: {error})") from error


def encode_error(reason: str, kind: str = "") -> bytes:
    """The body of an answer that says no."""
    return json.dumps({"error": reason, "kind": kind}).encode()


def decode_error(body: bytes) -> tuple[str, str]:
    """Why, and the class in errors.py that says so; whatever else a server may have sent, as text."""
    try:
        answer = json.loads(body)
        return str(answer["error"]), str(answer.get("kind", ""))
    except Exception:
        return " ".join(body[:200].decode(errors="replace").split()) or "no reason given", ""


def decode_card(data: dict[str, Any]) -> RewardCard:
    """A card that went over the wire as `RewardCard.as_dict`.

    Raises:
        ProtocolError: the data is no card.
    """
    try:
        data = {key: value for key, value in data.items() if key not in ("offline", "permissive")}
        low, high = data["range"]
        data["range"] = (float("-inf") if low is None else low, float("inf") if high is None else high)
        data["weights"] = tuple(Weights(**weights) for weights in data["weights"])
        data = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return RewardCard(**data)
    except Exception as error:
        raise ProtocolError(f"the server's card is none ({type(error).__name__}: {error})") from error


def _with_null(values: list[float]) -> list[float | None]:
    return [value if value == value and abs(value) != float("inf") else None for value in values]
