"""What models do to images before they look at them, on tensors, with gradient.

Every function takes and gives B×3×H×W; resizing antialiases, as PIL does when it shrinks (reference pipelines resize
uint8 with PIL: the drift is published in docs/rewards.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bicubic", "bilinear"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


def resize(images: torch.Tensor, height: int, width: int, *, mode: Interpolation = "bicubic") -> torch.Tensor:
    """Resize to exactly height × width; bicubic overshoot is cut back into [0, 1], as uint8 rounding does."""
    import torch.nn.functional as F

    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode=mode, antialias=True, align_corners=False).clamp(0, 1)


def resize_shortest(images: torch.Tensor, size: int, *, mode: Interpolation = "bicubic") -> torch.Tensor:
    """Aspect kept, the shorter side `size`; the longer side is rounded down, as in torchvision and transformers."""
    height, width = images.shape[-2:]
    longer = int(size * max(height, width) / min(height, width))
    return resize(images, size if height <= width else longer, size if width <= height else longer, mode=mode)


def center_crop(images: torch.Tensor, size: int, *, round_down: bool = False) -> torch.Tensor:
    """The middle size × size pixels; the image must be at least that large.

    Where an odd number of pixels is cut, torchvision rounds half the margin (open_clip, BLIP's own code) and the processors of
    transformers round it down (`round_down`): one pixel of shift.
    """
    height, width = images.shape[-2:]
    margins = ((height - size) / 2, (width - size) / 2)
    top, left = map(int, margins) if round_down else map(round, margins)
    return images[..., top : top + size, left : left + size]


def resize_and_crop(
    images: torch.Tensor, size: int, *, mode: Interpolation = "bicubic", round_down: bool = False
) -> torch.Tensor:
    """CLIP's: shorter side to `size`, then the middle square; `round_down` as in `center_crop`."""
    return center_crop(resize_shortest(images, size, mode=mode), size, round_down=round_down)


def pad_to_square(images: torch.Tensor, fill: tuple[float, float, float]) -> torch.Tensor:
    """Centre on a square of the longer side, filled with one colour."""
    height, width = images.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = images.new_tensor(fill)[None, :, None, None].expand(len(images), 3, side, side).clone()
    square[..., top : top + height, left : left + width] = images
    return square


def resize_longest_and_pad(
    images: torch.Tensor, size: int, fill: tuple[float, float, float] = (0, 0, 0), *, mode: Interpolation = "bicubic"
) -> torch.Tensor:
    """HPSv2's: longer side to `size`, then padded to a square."""
    height, width = images.shape[-2:]
    scale = size / max(height, width)
    return pad_to_square(resize(images, max(1, round(height * scale)), max(1, round(width * scale)), mode=mode), fill)


def normalise(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """(x − mean) / std by channel."""
    return (images - images.new_tensor(mean)[:, None, None]) / images.new_tensor(std)[:, None, None]
