"""The labelled store: latents with the true reward's answers, on disk.

    STORE/meta.json                        latent space, generator, reward, format version
    STORE/prompts.jsonl                    what goes with the prompts, where anything does (reward_zoo/briefing.py)
    STORE/shard-00000.safetensors          latents (n×4×h×w float16) of one shard
    STORE/index.parquet/part-00000.parquet one row a latent: prompt, target, seed, stage, score, components, perceived

A shard counts once its index part is in place; parts are renamed into place last, so a kill loses at most the shard
being written and never leaves half of one. `index.parquet` is an ordinary Parquet data set that anything can read.
Several processes may write, each shards of numbers of its own (`free_numbers`), in any order.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from surrogate.errors import StoreError
from surrogate.latents import Shard, StoredLatents

FORMAT_VERSION = 1
PROMPT_TABLE = "prompts.jsonl"


@dataclass(frozen=True)
class Label:
    """One latent's index row. `stage` counts the network calls (1 for z1, 2 for z2); `score` is NaN where the reward failed."""

    prompt: str
    seed: int
    stage: int
    score: float
    perceived: str = ""
    components: str = "{}"  # JSON object


_FIELDS = list(Label.__dataclass_fields__)


class LabelledStore:
    """An appendable folder of labelled latents."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.folder, self.meta = folder, meta
        self._free: Iterator[int] | None = None  # numbers for shards to append, once looked up

    @classmethod
    def create(cls, folder: Path, **meta: Any) -> LabelledStore:  # noqa: ANN401 - JSON data
        """Start a store, or go on with the one that is there.

        Raises:
            StoreError: the folder holds a store of another generator, reward or latent space.
        """
        meta = {"format_version": FORMAT_VERSION, **meta}
        if (folder / "meta.json").exists():
            store = cls.open(folder)
            changed = [key for key in meta if store.meta.get(key) != meta[key]]
            if changed:
                key = changed[0]
                raise StoreError(
                    f"{folder}: holds labels with {key}={store.meta.get(key)!r}, not {meta[key]!r}; use another folder"
                )
            return store
        (folder / "index.parquet").mkdir(parents=True, exist_ok=True)
        temporary = folder / "meta.tmp"
        temporary.write_text(json.dumps(meta, indent=2))
        temporary.replace(folder / "meta.json")
        return cls(folder, meta)

    @classmethod
    def open(cls, folder: Path) -> LabelledStore:
        """Open a store for reading and appending.

        Raises:
            StoreError: no store there, or one of a newer format.
        """
        try:
            meta = json.loads((folder / "meta.json").read_text())
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder}: not a labelled store ({error})") from error
        if meta.get("format_version", 0) > FORMAT_VERSION:
            raise StoreError(f"{folder}: store format {meta['format_version']} is newer than this lasro knows; upgrade lasro")
        return cls(folder, meta)

    @property
    def painter(self) -> str:
        """The generator of its samples, and what it was tuned by."""
        return " + ".join(filter(None, (self.meta["generator"], self.meta.get("adapter"))))

    @property
    def prompt_table(self) -> Path:
        """Where the targets, metadata and references of its prompts stand, if they have any."""
        return self.folder / PROMPT_TABLE

    def prompts(self) -> list[str]:
        """The distinct prompts, in the order they first occur."""
        return self.table("prompt")["prompt"].unique().to_pylist()

    def append(self, latents: torch.Tensor, labels: Sequence[Label]) -> None:
        """Add one shard: latents n×4×h×w and their n labels."""
        self._free = self._free or self.free_numbers()
        self.put(next(self._free), latents, labels)

    def free_numbers(self) -> Iterator[int]:
        """The numbers that no shard has now, from the smallest, without end."""
        taken = set(self._parts())
        return (number for number in itertools.count() if number not in taken)

    def put(self, number: int, latents: torch.Tensor, labels: Sequence[Label]) -> None:
        """Write the shard of a free number: latents n×4×h×w and their n labels."""
        part = self.folder / "index.parquet" / f"part-{number:05d}.parquet"
        save_file({"latents": latents.half().contiguous()}, self._shard(number))
        table = pa.Table.from_pylist([{**asdict(label), "shard": number, "row": row} for row, label in enumerate(labels)])
        pq.write_table(table, part.with_suffix(".tmp"))
        part.with_suffix(".tmp").replace(part)

    def __len__(self) -> int:
        return sum(pq.read_metadata(part).num_rows for part in self._parts().values())

    def table(self, *columns: str) -> pa.Table:
        """Some columns of the index, all rows in the order of the shards' numbers."""
        parts = [pq.read_table(part, columns=list(columns)) for part in self._parts().values()]
        if not parts:
            raise StoreError(f"{self.folder}: the store is empty; label some samples first")
        return pa.concat_tables(parts)

    def labels(self) -> list[Label]:
        """All labels, in the order of the shards' numbers."""
        return [Label(**row) for part in self._parts().values() for row in pq.read_table(part, columns=_FIELDS).to_pylist()]

    def latents(self) -> StoredLatents:
        """All latents, in the order of `labels()`; they stay on disk until rows are asked for.

        Raises:
            StoreError: the store is empty, or a shard is missing or damaged.
        """
        numbers = self._parts()
        if not numbers:
            raise StoreError(f"{self.folder}: the store is empty; label some samples first")
        return StoredLatents([Shard.open(self._shard(number)) for number in numbers])

    def done(self) -> set[tuple[str, int]]:
        """The (prompt, seed) pairs already labelled."""
        if not self._parts():
            return set()
        found = self.table("prompt", "seed")
        return set(zip(found["prompt"].to_pylist(), found["seed"].to_pylist(), strict=True))

    def _shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.safetensors"

    def _parts(self) -> dict[int, Path]:
        """The index's parts by number, in order."""
        found = {int(part.stem.split("-")[1]): part for part in (self.folder / "index.parquet").glob("part-*.parquet")}
        return dict(sorted(found.items()))
