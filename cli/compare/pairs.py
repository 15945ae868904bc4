"""Which pictures stand against each other, in an order and on sides that a seed draws."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reward_zoo.errors import ImageError
from reward_zoo.images import IMAGE_SUFFIXES
from surrogate.errors import RunFolderError

SIDES = ("base", "tuned")  # what lasro generate --compare calls them


@dataclass(frozen=True)
class Pair:
    """Two pictures of one name; `flipped`: B stands left."""

    name: str
    a: Path
    b: Path
    flipped: bool
    prompt: str = ""

    @property
    def sides(self) -> tuple[Path, Path]:
        """Left and right."""
        return (self.b, self.a) if self.flipped else (self.a, self.b)


def two_folders(folders: Sequence[Path]) -> tuple[Path, Path]:
    """A and B as they were given, or the two folders in the one.

    Raises:
        RunFolderError: neither.
    """
    if len(folders) == 1:
        folders = [folders[0] / side for side in SIDES]
        if not all(folder.is_dir() for folder in folders):
            raise RunFolderError(
                f"compare {folders[0].parent}: holds no folders {' and '.join(SIDES)}; "
                "give two folders, or what lasro generate --compare --out FOLDER wrote"
            )
    if len(folders) != 2:
        raise RunFolderError(f"compare: {len(folders)} folders; give two, A and B")
    for folder in folders:
        if not folder.is_dir():
            raise RunFolderError(f"compare {folder}: no such folder")
    return folders[0], folders[1]


def find_pairs(a: Path, b: Path, *, seed: int, voter: str, max_pairs: int | None = None) -> list[Pair]:
    """The pictures that both folders have under the same name, in this voter's order.

    Which pairs are shown depends on the seed, their order and sides on seed and voter; nothing else does, so that a
    session that was left goes on as it would have.

    Raises:
        RunFolderError: the folders share no picture's name.
    """
    held = [{path.name: path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES} for folder in (a, b)]
    names = sorted(held[0].keys() & held[1].keys())
    if not names:
        raise RunFolderError(f"compare {a} {b}: no picture has the same name in both; name them alike")
    random.Random(f"{seed}").shuffle(names)  # noqa: S311 - no secret
    names = names[:max_pairs]
    random.Random(f"{seed} {voter}").shuffle(names)  # noqa: S311
    return [Pair(name, held[0][name], held[1][name], _flipped(seed, voter, name), _prompt(held[0][name])) for name in names]


def _flipped(seed: int, voter: str, name: str) -> bool:
    return hashlib.sha256(f"{seed}\0{voter}\0{name}".encode()).digest()[0] % 2 == 1


def _prompt(picture: Path) -> str:
    """What the picture says it shows, or a text beside it does."""
    from cli.picture_metadata import read_parameters

    beside = picture.with_suffix(".txt")
    if beside.is_file():
        return beside.read_text(encoding="utf-8").strip()
    try:
        return str(read_parameters(picture).get("prompt", ""))
    except ImageError:
        return ""
