"""Images at the edge of the zoo: whatever people have, checked once, as float32 B×3×H×W in [0, 1]."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reward_zoo.errors import ImageError

if TYPE_CHECKING:
    import torch

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def as_images(images: Any) -> torch.Tensor:  # noqa: ANN401 - the one place that takes anything image-like
    """Coerce to a float32 tensor B×3×H×W, RGB, in [0, 1]; a tensor that is one already is passed on, gradient and all.

    Takes a B×3×H×W or 3×H×W float tensor in [0, 1], a uint8 array B×H×W×3 or H×W×3, a PIL image, a path, or a
    sequence of single images of one size.

    Raises:
        ImageError: wrong shape, range or type, an unreadable file, or images of several sizes.
    """
    import torch

    if isinstance(images, torch.Tensor):
        return _check_tensor(images)
    if isinstance(images, np.ndarray):
        return _from_array(images)
    if isinstance(images, (str, Path)) or not isinstance(images, Sequence):
        return _single(images)[None]
    if not images:
        raise ImageError("images: the list is empty; give at least one image")
    singles = [_single(image) for image in images]
    sizes = sorted({tuple(image.shape[-2:]) for image in singles})
    if len(sizes) > 1:
        raise ImageError(f"images: one batch holds several sizes (height, width) {sizes[:4]}; score each size on its own")
    return torch.stack(singles)


def read_image(path: str | Path) -> Any:  # noqa: ANN401 - a PIL image; PIL is imported late
    """Open a picture as PIL RGB: upright by its EXIF, transparent parts on white, 16 bits a channel brought to 8.

    Raises:
        ImageError: no such file, or not a picture.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return _as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:
        raise ImageError(f"{path}: not a readable picture ({error})") from error


def unpack_image(data: bytes, check_size: Callable[[int, int], None]) -> Any:  # noqa: ANN401 - a PIL image
    """The bytes of a PNG or WebP file as PIL RGB; `check_size` is told width and height before anything is unpacked.

    Raises:
        ImageError: no such picture.
    """
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(data), formats=["PNG", "WEBP"])
    except Exception as error:
        raise ImageError("not a PNG or WebP picture") from error
    with image:
        check_size(*image.size)
        try:
            return _as_rgb(ImageOps.exif_transpose(image))
        except Exception as error:
            raise ImageError(f"not a readable picture ({error})") from error


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """B×3×H×W in [0, 1] → uint8 array B×H×W×3, rounded."""
    return (images.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def _as_rgb(image: Any) -> Any:  # noqa: ANN401 - PIL images
    """Pillow's own conversion drops transparency and cuts 16-bit grey at 255."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ImageError(f"images: mode {image.mode} with values from {deep.min()} to {deep.max()} is not 16-bit grey")
        return Image.fromarray(np.round(deep / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError(
            "images: a picture of floats (mode F) is ambiguous; give 8 or 16 bits a channel, or a tensor in [0, 1]"
        )
    return image.convert("RGB")


def _single(image: Any) -> torch.Tensor:  # noqa: ANN401
    import torch
    from PIL import Image

    if isinstance(image, (str, Path)):
        image = read_image(image)
    if isinstance(image, Image.Image):
        image = np.asarray(_as_rgb(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)[0]
    if isinstance(image, torch.Tensor):
        return _check_tensor(image)[0]
    raise ImageError(f"images: {type(image).__name__} is not an image; give a tensor, PIL image, uint8 array or path")


def _from_array(array: np.ndarray) -> torch.Tensor:
    import torch

    if array.dtype != np.uint8:
        raise ImageError(f"images: an array of {array.dtype} is ambiguous; give uint8 H×W×3, or a float tensor in [0, 1]")
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] != 3:
        raise ImageError(f"images: array shape {array.shape} is not B×H×W×3")
    return torch.from_numpy(array.copy()).permute(0, 3, 1, 2).contiguous().float() / 255


def _check_tensor(images: torch.Tensor) -> torch.Tensor:
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ImageError(f"images: tensor shape {tuple(images.shape)} is not B×3×H×W")
    if not images.is_floating_point():
        raise ImageError(f"images: a tensor of {images.dtype} is ambiguous; give floats in [0, 1], or a uint8 array")
    low, high = images.detach().aminmax()
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageError(f"images: values run from {low:.4g} to {high:.4g}; rewards take [0, 1]")
    return images.float().contiguous()
