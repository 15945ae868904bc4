"""How rewards are asked over HTTP: one request and one answer, exact to the bit, never pickle.

POST /score      body: a safetensors file with `images` (B×3×H×W float32) and, where given, `references`; its metadata's key
                 `request` is JSON: reward, prompts, targets, metadata. Answer: JSON with values, components, perceived; an
                 item that failed is null.
GET  /rewards    the cards, as JSON.

Both sides send the header `X-Lasro-Protocol`. An error is JSON with the one key `error`.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import ProtocolError
from reward_zoo.scores import Scores

if TYPE_CHECKING:
    from reward_zoo.reward import RewardInputs

HEADER = "X-Lasro-Protocol"
VERSION = "1"


def encode_request(reward: str, inputs: RewardInputs) -> bytes:
    """The body of a question to one reward."""
    from safetensors.torch import save

    tensors = {"images": inputs.images} | ({} if inputs.references is None else {"references": inputs.references})
    asked = {"reward": reward, "prompts": inputs.prompts, "targets": inputs.targets, "metadata": inputs.metadata}
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
    return save(tensors, metadata={"request": json.dumps(asked)})


def decode_request(body: bytes) -> tuple[str, dict[str, Any]]:
    """The name of the reward, and the keywords to call it with.

    Raises:
        ProtocolError: the body is no such request.
    """
    from safetensors.torch import load

    try:
        (length,) = struct.unpack("<Q", body[:8])
        asked = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["request"])
        tensors = load(body)
        given = {name: asked[name] for name in ("prompts", "targets", "metadata")}
        return asked["reward"], {"images": tensors["images"], "references": tensors.get("references"), **given}
    except Exception as error:
        raise ProtocolError(f"the request is no safetensors body of a question ({type(error).__name__}: {error})") from error


def encode_scores(scores: Scores) -> bytes:
    """The body of an answer."""
    parts = {name: _with_null(part.tolist()) for name, part in scores.components.items()}
    return json.dumps(
        {"values": _with_null(scores.values.tolist()), "components": parts, "perceived": scores.perceived}
    ).encode()


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
