"""Pictures inside the page: data URIs, small enough that a report can be sent by mail."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PAIR_SIDE, SHEET_SIDE = 384, 1280  # pixels of the longer side at most
LOSSLESS_SIDE = 192  # pictures no larger keep every pixel
QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture as the page holds it: its data URI and its size on disk, in pixels."""

    uri: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether two of them stand better above each other than side by side."""
        return self.width > 2 * self.height

    @property
    def small(self) -> bool:
        """Whether it is shown enlarged, pixel by pixel."""
        return max(self.width, self.height) <= LOSSLESS_SIDE


def embed(path: Path, longest: int = PAIR_SIDE) -> Picture | None:
    """The picture as WebP, made smaller where it is larger than `longest`; None where it cannot be read."""
    try:
        stat = path.stat()
        return _embed(path, stat.st_mtime_ns, longest)
    except (OSError, SyntaxError):  # what PIL raises on a damaged file, or on one that is being written
        return None


@lru_cache(maxsize=4096)  # a live page is made again and again from the same pictures
def _embed(path: Path, _mtime: int, longest: int) -> Picture:
    from PIL import Image

    with Image.open(path) as found:
        picture = found.convert("RGB")
    width, height = picture.size
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    lossless = max(width, height) <= LOSSLESS_SIDE
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=lossless, quality=80 if lossless else QUALITY, method=4)
    return Picture("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), width, height)
