"""File-size rewards of ddpo-pytorch (rewards.py): the size of the image as a JPEG of quality 95, in kB of 1000 bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.images import to_uint8
from reward_zoo.reward import Reward, RewardInputs

if TYPE_CHECKING:
    import torch


def jpeg_kilobytes(images: torch.Tensor, quality: int) -> list[float]:
    """Size of each image (B×3×H×W in [0, 1]) as a JPEG, kB."""
    from PIL import Image

    sizes = []
    for array in to_uint8(images):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, format="JPEG", quality=quality)
        sizes.append(buffer.tell() / 1000)
    return sizes


class JpegIncompressibility(Reward):
    """Large files score high: detail and noise."""

    card = RewardCard(
        name="jpeg_incompressibility",
        summary="size of the JPEG in kB: rewards detail",
        range=(0.0, float("inf")),
        typical=(120.0, 60.0),
        source="ddpo-pytorch rewards.py: bytes(JPEG, quality 95) / 1000",
        license="MIT definition, own code",
    )

    def __init__(self, *, quality: int = 95) -> None:
        self.quality = quality

    def score(self, inputs: RewardInputs) -> list[float]:
        """KB of each image."""
        return jpeg_kilobytes(inputs.images, self.quality)


class JpegCompressibility(JpegIncompressibility):
    """Small files score high: flat, simple pictures."""

    card = RewardCard(
        name="jpeg_compressibility",
        summary="minus the size of the JPEG in kB: rewards simplicity",
        range=(float("-inf"), 0.0),
        typical=(-120.0, 60.0),
        source="ddpo-pytorch rewards.py: -bytes(JPEG, quality 95) / 1000",
        license="MIT definition, own code",
    )

    def score(self, inputs: RewardInputs) -> list[float]:
        """Minus kB of each image."""
        return [-size for size in jpeg_kilobytes(inputs.images, self.quality)]
