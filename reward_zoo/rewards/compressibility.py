"""File-size rewards: the image as a JPEG of quality 95 in kB of 1000 bytes (ddpo-pytorch, rewards.py), or as a PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.errors import SpecError
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

    def __init__(self, *, quality: int = 95, scale: float = 1.0) -> None:
        if not 1 <= quality <= 100 or scale <= 0:
            raise SpecError(f"{self.card.name}: quality={quality} must be from 1 to 100, scale={scale} above 0")
        self.quality, self.scale = quality, scale

    def score(self, inputs: RewardInputs) -> list[float]:
        """KB of each image, over `scale` (500 in flow_grpo)."""
        return [size / self.scale for size in jpeg_kilobytes(inputs.images, self.quality)]


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
        """Minus kB of each image, over `scale`."""
        return [-size for size in super().score(inputs)]


class PngCompressibility(Reward):
    """Small lossless files score high; unlike kB it does not depend on the image's size."""

    card = RewardCard(
        name="png_compressibility",
        summary="minus the share that lossless compression leaves: rewards flat, repetitive pictures",
        range=(float("-inf"), 0.0),
        typical=(-0.5, 0.2),
        source="-bytes(PNG) / (3·H·W)",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> list[float]:
        """About −1 for noise, near 0 for a flat image; tiny images fall below −1 by the file's header."""
        from PIL import Image

        scores = []
        for array in to_uint8(inputs.images):
            buffer = io.BytesIO()
            Image.fromarray(array).save(buffer, format="PNG")
            scores.append(-buffer.tell() / array.size)
        return scores
