"""Latents that stay on disk: a labelled store may be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from surrogate.errors import StoreError

if TYPE_CHECKING:
    from surrogate.backbones.base import Backbone

_BYTES = 2  # of a float16
KEPT_BYTES = 4e9  # of prepared latents


@dataclass(frozen=True)
class Shard:
    """One file of n latents: where its numbers begin, and their shape."""

    path: Path
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Read a safetensors file's header (8 bytes of length, JSON, then the numbers).

        Raises:
            StoreError: the file is missing or damaged.
        """
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > path.stat().st_size:
                    raise ValueError("no header")
                entry = json.loads(file.read(length))["latents"]
            start, end = entry["data_offsets"]
            shape = tuple(entry["shape"])
            if entry["dtype"] != "F16" or end - start != _BYTES * int(np.prod(shape)):
                raise ValueError(f"holds {entry['dtype']} of shape {shape}, not float16 latents")
            if path.stat().st_size < 8 + length + end:
                raise ValueError("cut off")
        except Exception as error:
            raise StoreError(f"{path}: missing or damaged ({error}); delete the store and label again") from error
        return cls(path, 8 + length + start, shape)


class StoredLatents:
    """N latents of some shards, N×C×h×w; indexing reads those rows into a float32 tensor, `view` picks without reading."""

    def __init__(self, shards: Sequence[Shard], places: np.ndarray | None = None) -> None:
        self.shards = list(shards)
        if places is None:
            counts = [shard.shape[0] for shard in self.shards]
            numbers = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
            rows = [np.arange(count, dtype=np.int32) for count in counts]
            places = np.stack([numbers, np.concatenate(rows)], axis=1)
        self.places = places  # N×2: number of the shard, row in it

    def __len__(self) -> int:
        return len(self.places)

    def view(self, rows: Any) -> StoredLatents:  # noqa: ANN401 - whatever indexes an array
        """Some of the rows, still on disk."""
        return StoredLatents(self.shards, self.places[rows.numpy() if isinstance(rows, torch.Tensor) else rows])

    def __getitem__(self, rows: Any) -> torch.Tensor:  # noqa: ANN401 - whatever indexes an array
        places = self.view(rows).places
        shape = self.shards[0].shape[1:]
        found = np.empty((len(places), *shape), dtype=np.float16)
        size = _BYTES * int(np.prod(shape))
        for number in np.unique(places[:, 0]):
            shard = self.shards[number]
            with shard.path.open("rb") as file:
                for index in np.flatnonzero(places[:, 0] == number):
                    file.seek(shard.offset + size * int(places[index, 1]))
                    if file.readinto(found[index].data.cast("B")) != size:
                        raise StoreError(f"{shard.path}: damaged (cut off); delete the store and label again")
        return torch.from_numpy(found).float()

    @staticmethod
    def together(parts: Sequence[StoredLatents]) -> StoredLatents:
        """All rows of some, in order."""
        first = np.cumsum([0, *(len(part.shards) for part in parts)])
        moved = [part.places + np.array([start, 0], dtype=np.int32) for part, start in zip(parts, first, strict=False)]
        return StoredLatents([shard for part in parts for shard in part.shards], np.concatenate(moved))


class PreparedLatents:
    """What a backbone is trained on in place of latents, made when first asked for, and kept where memory holds all.

    Indexed as `StoredLatents` are.
    """

    def __init__(self, backbone: Backbone, latents: torch.Tensor | StoredLatents) -> None:
        self.backbone, self.latents = backbone, latents
        self.rows = torch.arange(len(latents))
        self._kept: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def view(self, rows: Any) -> PreparedLatents:  # noqa: ANN401 - whatever indexes a tensor
        """Some of the rows; what is kept is shared."""
        some = copy(self)
        some.rows = self.rows[rows]
        return some

    def __getitem__(self, rows: Any) -> torch.Tensor:  # noqa: ANN401 - whatever indexes a tensor
        wanted = self.rows[rows].tolist()
        new = [row for row in dict.fromkeys(wanted) if row not in self._kept]
        made = self.backbone.prepare(self.latents[torch.tensor(new)]).cpu() if new else []
        found = dict(zip(new, made, strict=True))
        if len(new) and made[0].nbytes * len(self.latents) <= KEPT_BYTES:
            self._kept.update(found)
        return torch.stack([found[row] if row in found else self._kept[row] for row in wanted])
