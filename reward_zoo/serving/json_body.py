"""A question as JSON with pictures in base64: for curl, browsers and other languages."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reward_zoo.errors import ImageError, ProtocolError
from reward_zoo.images import as_images, unpack_image
from reward_zoo.prompts import broadcast
from reward_zoo.serving.question import LISTS, TEXTS, Question

BYTES_A_PIXEL = 12  # three float32


class ScoreRequest(BaseModel):
    """What to score, and by which reward."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reward: str = Field(description="A name that /rewards lists.", examples=["ocr"])
    images: list[str] = Field(min_length=1, description="Base64 of PNG or WebP files, all of one size in pixels.")
    prompts: str | list[str] | None = Field(None, description="One for all, or one an image.")
    targets: str | list[str] | None = Field(None, description="One for all, or one an image.")
    metadata: list[dict[str, Any]] | None = Field(None, description="One record an image.")
    references: list[str] | None = Field(None, description="Pictures to compare with: one for all, or one an image.")


class ScoreAnswer(BaseModel):
    """One number an image, higher is better; null where an image has no score, and `errors` says why."""

    values: list[float | None]
    valid: list[bool]
    errors: list[str | None]
    components: dict[str, list[float | None]]
    perceived: list[str] | None


class ErrorAnswer(BaseModel):
    """Why a request is refused."""

    error: str
    kind: str = Field("", description="The class in reward_zoo/errors.py, if it is one of those.")


def decode_json(body: bytes, max_bytes: int) -> tuple[Question | None, list[str | None]]:
    """The question about the pictures that can be read, if any, and why each of the others cannot.

    Args:
        body: JSON of a `ScoreRequest`.
        max_bytes: of the pictures, unpacked to float32.

    Raises:
        ProtocolError: the body is no such request, or its pictures unpack to too much.
        ImageError: the pictures are of several sizes.
        MissingInputError: not one prompt or target an image.
    """
    try:
        asked = ScoreRequest.model_validate_json(body)
    except ValidationError as error:
        raise ProtocolError("the request is not as /docs says: " + "; ".join(map(_fault, error.errors()[:3]))) from error
    count, room = len(asked.images), _Room(max_bytes)
    pictures, errors = [], []
    for text in asked.images:
        try:
            pictures.append(_picture(text, room))
            errors.append(None)
        except ImageError as error:
            pictures.append(None)
            errors.append(str(error))
    lists = {name: values for name in LISTS if (values := getattr(asked, name)) is not None}
    lists |= {name: broadcast(lists[name], count, name) for name in TEXTS if name in lists}
    if any(len(values) != count for values in lists.values()):
        raise ProtocolError(f"metadata: {len(lists['metadata'])} given for {count} images; give one an image")
    rows = [row for row, error in enumerate(errors) if error is None]
    if not rows:
        return None, errors
    tensors = {"images": as_images([pictures[row] for row in rows])}
    if asked.references is not None:
        references = as_images([_picture(text, room) for text in asked.references])
        if len(references) not in (1, count):
            raise ProtocolError(f"references: {len(references)} given for {count} images; give one for all, or one an image")
        tensors["references"] = references.expand(count, -1, -1, -1)[rows]
    return Question(asked.reward, tensors, {name: [values[row] for row in rows] for name, values in lists.items()}), errors


class _Room:
    """Bytes that pictures may still unpack to."""

    def __init__(self, left: int) -> None:
        self.whole, self.left = left, left

    def take(self, width: int, height: int) -> None:
        self.left -= width * height * BYTES_A_PIXEL
        if self.left < 0:
            raise ProtocolError(f"the pictures unpack to more than {self.whole:,} bytes; send fewer or smaller ones")


def _picture(text: str, room: _Room) -> Any:  # noqa: ANN401 - a PIL image
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"not base64 ({error})") from error
    return unpack_image(data, room.take)


def _fault(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {error['msg']}" if where else error["msg"]
