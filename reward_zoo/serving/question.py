"""`Question`: what one request asks a reward, in rows that can be taken apart and put together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reward_zoo.devices import pick_device
from reward_zoo.errors import LasroError, ProtocolError, RewardFailedError
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores

if TYPE_CHECKING:
    import torch

PICTURES = ("images", "references")
TENSORS = (*PICTURES, "latents")
TEXTS = ("prompts", "targets")
LISTS = (*TEXTS, "metadata")


@dataclass(frozen=True, eq=False)
class Question:
    """B rows for one reward, named as it is served.

    `tensors` holds `images` (B×3×H×W, floats in [0, 1] or uint8) and perhaps `references` (B×3×h×w), or `latents` (B×C×h×w,
    floats) alone; `lists` those of prompts, targets and metadata that were given, each of B.

    Raises:
        ProtocolError: anything else.
    """

    reward: str
    tensors: dict[str, torch.Tensor]
    lists: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.reward, str):
            raise ProtocolError("reward: a name is missing")
        if ("images" in self.tensors) == ("latents" in self.tensors) or {"latents", "references"} <= set(self.tensors):
            raise ProtocolError("give images, perhaps with references, or latents alone")
        for name, tensor in self.tensors.items():
            _check_tensor(name, tensor)
        for name, tensor in self.tensors.items():
            if len(tensor) != len(self):
                raise ProtocolError(f"{name}: {len(tensor)} given for {len(self)} rows; give one a row")
        for name, values in self.lists.items():
            _check_list(name, values, len(self))

    @classmethod
    def of(cls, reward: str, inputs: RewardInputs) -> Question:
        """The question that `inputs` are; pictures that are exactly 8-bit travel as such, a quarter of the bytes."""
        tensors = {name: _compact(pixels) for name in PICTURES if (pixels := getattr(inputs, name)) is not None}
        return cls(reward, tensors, {name: values for name in LISTS if (values := getattr(inputs, name)) is not None})

    def __len__(self) -> int:
        return len(self.tensors.get("images", self.tensors.get("latents")))

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for questions that may be asked as one: the same kinds of tensors, of the same sizes, and the same lists."""
        shapes = {name: tuple(tensor.shape[1:]) for name, tensor in self.tensors.items()}
        return self.reward, tuple(sorted(shapes.items())), tuple(sorted(self.lists))

    def rows(self, start: int, stop: int) -> Question:
        """Some rows of it, in order."""
        tensors = {name: tensor[start:stop] for name, tensor in self.tensors.items()}
        return Question(self.reward, tensors, {name: values[start:stop] for name, values in self.lists.items()})

    def split(self, shares: int) -> list[Question]:
        """The rows in so many parts, as equal as can be, in order."""
        bounds = [len(self) * number // shares for number in range(shares + 1)]
        return [self.rows(start, stop) for start, stop in itertools.pairwise(bounds)]

    @staticmethod
    def joined(questions: Sequence[Question]) -> Question:
        """Several of one `key` as one, in order."""
        import torch

        first = questions[0]
        if len(questions) == 1:
            return first
        tensors = {name: torch.cat([_floats(question.tensors[name]) for question in questions]) for name in first.tensors}
        lists = {name: [value for question in questions for value in question.lists[name]] for name in first.lists}
        return Question(first.reward, tensors, lists)

    def ask(self, reward: Reward) -> Scores:
        """What the reward says, on this machine's accelerator if it has one.

        Raises:
            RewardError: as `Reward.__call__`.
        """
        device = pick_device()  # rewards run where their pictures are
        tensors = {name: _floats(tensor.to(device)) for name, tensor in self.tensors.items()}
        try:
            if "latents" in tensors:
                return reward.score_latents(latents=tensors["latents"], prompts=self.lists.get("prompts"))
            scores = reward(**tensors, **self.lists)
            wrong = [name for name, part in scores.components.items() if len(part) != len(self)]
        except LasroError:
            raise
        except Exception as error:
            raise RewardFailedError(f"{self.reward}: the reward raised {type(error).__name__}: {error}") from error
        if wrong or (scores.perceived is not None and len(scores.perceived) != len(self)):
            raise RewardFailedError(f"{self.reward}: {', '.join(wrong) or 'perceived'}: not one an image")
        return scores


def _check_tensor(name: str, tensor: torch.Tensor) -> None:
    shape = tuple(tensor.shape)
    if name not in TENSORS:
        raise ProtocolError(f"{name}: no such tensor; known: {', '.join(TENSORS)}")
    if tensor.ndim != 4 or 0 in shape or (name in PICTURES and shape[1] != 3):
        raise ProtocolError(f"{name}: shape {shape} is not B×{'3×H×W' if name in PICTURES else 'C×h×w'}")
    if not (tensor.is_floating_point() or (name in PICTURES and str(tensor.dtype) == "torch.uint8")):
        raise ProtocolError(f"{name}: {tensor.dtype} is not taken; send float32{', or uint8' if name in PICTURES else ''}")


def _check_list(name: str, values: list[Any], count: int) -> None:
    if not isinstance(values, list) or len(values) != count:
        raise ProtocolError(f"{name}: {len(values) if isinstance(values, list) else 'no list'} given for {count} rows")
    for number, value in enumerate(values if name in TEXTS else ()):
        if not isinstance(value, str):
            raise ProtocolError(f"{name}: number {number} is {value!r:.80}, not a text")


def _floats(tensor: torch.Tensor) -> torch.Tensor:
    """As `images.as_images` makes floats of bytes, so that scores are equal to the bit."""
    return tensor.float() if tensor.is_floating_point() else tensor.float() / 255


def _compact(pixels: torch.Tensor) -> torch.Tensor:
    import torch

    pixels = pixels.detach().float().cpu().contiguous()
    for some in (pixels[:1, :, :8], pixels):  # a first look, for pictures that are not 8-bit
        eight = some.mul(255).round().clamp(0, 255).to(torch.uint8)
        if not torch.equal(_floats(eight), some):
            return pixels
    return eight
