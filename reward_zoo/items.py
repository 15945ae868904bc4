"""What a person points at, as pictures to score: files, folders, globs, and tables with a column of pictures."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.errors import ImageError, TableError
from reward_zoo.images import IMAGE_SUFFIXES, read_image
from reward_zoo.prompts import broadcast
from reward_zoo.tables import PROMPT_COLUMNS, TABLE_SUFFIXES, column, metadata_record, read_table

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_COLUMNS = ("image", "image_path", "file_name", "path")


@dataclass(frozen=True)
class Item:
    """A picture on disk and what was said about it."""

    image: Path
    prompt: str | None = None
    target: str | None = None
    metadata: dict[str, Any] | None = None
    reference: Path | None = None


@dataclass
class Batch:
    """Pictures of one size, read."""

    rows: list[int] = field(default_factory=list)
    pictures: list[Image] = field(default_factory=list)


def gather(
    paths: Sequence[Path],
    *,
    prompts: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    references: Sequence[Path] | None = None,
) -> list[Item]:
    """Everything the arguments name, in order; a flag with one value holds for all, with several for one picture each.

    Raises:
        ImageError: a folder or pattern without pictures.
        TableError: a table that cannot be read, or lacks its column of pictures.
        MissingInputError: as many values of a flag as neither one nor the pictures.
    """
    items = [item for path in paths for item in _expand(path)]
    given = {"prompt": (prompts, "--prompt"), "target": (targets, "--target"), "reference": (references, "--reference")}
    for name, (values, flag) in given.items():
        if values:
            items = [
                replace(item, **{name: value}) for item, value in zip(items, broadcast(values, len(items), flag), strict=True)
            ]
    return items


def batches(items: Sequence[Item], size: int) -> Iterator[Batch | tuple[int, ImageError]]:
    """The items' pictures in order, up to `size` neighbours of one format at a time; or a row and why it cannot be read."""
    batch = Batch()
    for row, item in enumerate(items):
        try:
            picture = read_image(item.image)
        except ImageError as error:
            yield row, error
            continue
        if batch.rows and (picture.size != batch.pictures[0].size or len(batch.rows) == size):
            yield batch
            batch = Batch()
        batch.rows.append(row)
        batch.pictures.append(picture)
    if batch.rows:
        yield batch


def inputs_of(items: Sequence[Item]) -> dict[str, Any]:
    """What a reward is told about them; what no item has is left out.

    Raises:
        TableError: some items have it and some have not.
    """
    given = {}
    for name in ("prompt", "target", "metadata", "reference"):
        values = [getattr(item, name) for item in items]
        if all(value is None for value in values):
            continue
        if any(value is None for value in values):
            lacking = items[values.index(None)].image
            raise TableError(f"{lacking}: has no {name}, and others have; give one for each picture")
        given[name if name == "metadata" else f"{name}s"] = values
    return given


def captioned(path: Path) -> list[tuple[Path, str]]:
    """Pictures with their prompts: a table, or a folder with metadata.csv or .jsonl, or with a text file beside each picture.

    Raises:
        ImageError: no such folder, or no picture there.
        TableError: a picture without a prompt, or a table that cannot be read.
    """
    if not path.exists() and path.suffix.lower() not in TABLE_SUFFIXES and not glob.has_magic(str(path)):
        raise ImageError(f"--images {path}: no such folder; give a table, or a folder of pictures with their prompts")
    tables = [path / f"metadata{suffix}" for suffix in TABLE_SUFFIXES] if path.is_dir() else []
    items = _expand(next((table for table in tables if table.is_file()), path))
    found = []
    for item in items:
        beside = item.image.with_suffix(".txt")
        prompt = item.prompt or (beside.read_text(encoding="utf-8").strip() if beside.is_file() else "")
        if not prompt:
            raise TableError(f"--images {path}: {item.image.name} has no prompt; write it in {beside.name} or in metadata.csv")
        found.append((item.image, prompt))
    return found


def _expand(path: Path) -> list[Item]:
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _from_table(path)
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise ImageError(f"{path}: the folder holds no picture ({', '.join(IMAGE_SUFFIXES)})")
        return list(map(Item, found))
    if not path.exists() and glob.has_magic(str(path)):
        found = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        found = [match for match in found if match.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            raise ImageError(f"{path}: no picture has such a name ({', '.join(IMAGE_SUFFIXES)})")
        return list(map(Item, found))
    return [Item(path)]


def _from_table(path: Path) -> list[Item]:
    """Paths in a table are relative to the table's folder."""
    rows = read_table(path)
    images = column(rows, IMAGE_COLUMNS, path)
    return [
        Item(
            image=path.parent / image,
            prompt=text_of(row, PROMPT_COLUMNS),
            target=text_of(row, ("target",)),
            metadata=metadata_record(row.get("metadata"), path),
            reference=path.parent / row["reference"] if row.get("reference") else None,
        )
        for image, row in zip(images, rows, strict=True)
    ]


def text_of(row: dict[str, Any], names: Sequence[str]) -> str | None:
    """The text in the first column of `names` that there is; an empty prompt is a prompt, a null is none."""
    value = next((row[name] for name in names if name in row), None)
    return None if value is None else str(value)
