"""The labels of a store as tensors, split by prompt, and batches that hold several latents of each prompt."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from reward_zoo.prompts import quoted_text
from surrogate.errors import LabelError, StoreError
from surrogate.latents import PreparedLatents, StoredLatents
from surrogate.seeding import stream
from surrogate.store import LabelledStore
from surrogate.types import Generator, TextConditioning

if TYPE_CHECKING:
    from surrogate.backbones.base import Backbone
    from surrogate.model import Surrogate

MOST_HELD_OUT = 512  # prompts: more would cost reward calls for the ceiling and hardly narrow an interval


@dataclass(frozen=True)
class LabelledLatents:
    """Latents N×4×h×w with true scores (N,), stage (N,) and the number of their prompt (N,) in `prompts`.

    `perceived` is what the reward read off each (N texts), where it reads anything. `several` (N×R) are the scores of
    the rewards named in `part_names`, where the score is made of several. Latents of a store stay on disk until `load`.
    """

    latents: torch.Tensor | StoredLatents | PreparedLatents
    scores: torch.Tensor
    stages: torch.Tensor
    groups: torch.Tensor
    prompts: list[str]
    perceived: list[str]
    several: torch.Tensor | None = None
    part_names: tuple[str, ...] = ("reward",)
    reads_text: bool = True  # whether `perceived` is text in the picture, not a caption or a list of objects

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, mask: torch.Tensor) -> LabelledLatents:
        """The rows of a mask or of row numbers; prompts keep their numbers."""
        perceived = [self.perceived[row] for row in torch.arange(len(self))[mask].tolist()]
        picked = {name: getattr(self, name)[mask] for name in ("scores", "stages", "groups")}
        latents = self.latents.view(mask) if not isinstance(self.latents, torch.Tensor) else self.latents[mask]
        several = None if self.several is None else self.several[mask]
        return replace(self, latents=latents, **picked, perceived=perceived, several=several)

    def load(self) -> LabelledLatents:
        """The same with its latents in memory."""
        return replace(self, latents=self.latents[:])

    def prepared(self, backbone: Backbone) -> LabelledLatents:
        """The same with what a backbone is trained on in place of latents; made as it is asked for."""
        return replace(self, latents=PreparedLatents(backbone, self.latents)) if backbone.prepares else self

    @property
    def parts(self) -> torch.Tensor:
        """Scores of each reward, N×R."""
        return self.scores[:, None] if self.several is None else self.several

    @property
    def perceives_text(self) -> bool:
        """Whether the reward read text, and the prompts quote the text they want."""
        return self.reads_text and any(self.perceived) and 2 * len(self.wanted_texts()) > len(self.prompts)

    def wanted_texts(self) -> list[str]:
        """The texts that prompts quote, of those prompts that do."""
        return [text for text in map(quoted_text, self.prompts) if text]

    def row_prompts(self) -> list[str]:
        """The prompt of each row."""
        return [self.prompts[group] for group in self.groups.tolist()]


def read_stores(stores: Sequence[LabelledStore], *, part_names: Sequence[str] = (), reads_text: bool = True) -> LabelledLatents:
    """All valid labels of some stores, which may be of several generators of one latent space.

    Args:
        stores: the stores.
        part_names: components to keep as scores of their own, where the reward is made of several.
        reads_text: whether what the reward perceived is text in the picture.

    Raises:
        StoreError: the stores are of several rewards or latent spaces.
        LabelError: no label is valid, or all scores are equal.
    """
    for key in ("reward", "latent_space"):
        values = {json.dumps(store.meta.get(key)): store for store in stores}
        if len(values) > 1:
            folders = " and ".join(str(store.folder) for store in list(values.values())[:2])
            raise StoreError(f"{folders}: labels of several {key.replace('_', ' ')}s ({', '.join(values)}) do not mix")
    latents = StoredLatents.together([store.latents() for store in stores])
    columns = ("prompt", "score", "stage", "perceived", *(["components"] if part_names else []))
    index = pa.concat_tables([store.table(*columns) for store in stores])
    prompts, groups = _numbered(index["prompt"])
    texts, heard = _numbered(index["perceived"])
    data = LabelledLatents(
        latents=latents,
        scores=torch.from_numpy(index["score"].to_numpy().astype(np.float32)),
        stages=torch.from_numpy(index["stage"].to_numpy().copy()),
        groups=torch.from_numpy(groups),
        prompts=prompts,
        perceived=[texts[number] for number in heard.tolist()],
        reads_text=reads_text,
        **(parts_of(index["components"].to_pylist(), part_names) if part_names else {}),
    )
    data = data.rows(data.scores.isfinite())
    if not len(data) or data.scores.min() == data.scores.max():
        value = data.scores[0].item() if len(data) else "NaN"
        raise LabelError(
            f"the reward gave the same score ({value}) to all {len(index)} samples: nothing to learn; "
            "check the reward on these images, or give more varied prompts"
        )
    return data


def _numbered(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The distinct texts of a column in the order they first occur, and each row's number among them."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def parts_of(components: Sequence[str], part_names: Sequence[str]) -> dict[str, Any]:
    """The fields `several` and `part_names` of `LabelledLatents`, from JSON objects; none where the score is one reward's.

    Raises:
        LabelError: a label lacks a component.
    """
    if not part_names:
        return {}
    found = [json.loads(text) for text in components]
    missing = next((name for name in part_names if any(name not in row for row in found)), None)
    if missing is not None:
        raise LabelError(f"labels hold no component {missing!r}; label again with all the rewards")
    several = torch.tensor([[row[name] for name in part_names] for row in found])
    return {"several": several.nan_to_num(), "part_names": tuple(part_names)}


def split_by_prompt(data: LabelledLatents, share: float, rng: torch.Generator) -> tuple[LabelledLatents, LabelledLatents]:
    """(training, held-out) rows; no prompt stands in both.

    Raises:
        LabelError: too few prompts for a split.
    """
    names = data.groups.unique()  # of prompts with a valid label
    held = min(max(1, round(share * len(names))), MOST_HELD_OUT)
    if len(names) - held < 1:
        raise LabelError(f"{len(names)} prompts with valid labels are too few to hold some out; give at least 2")
    chosen = torch.zeros(len(data.prompts), dtype=torch.bool)
    chosen[names[torch.randperm(len(names), generator=rng)[:held]]] = True
    mask = chosen[data.groups]
    return data.rows(~mask), data.rows(mask)


def rows_by_group(groups: torch.Tensor) -> dict[int, torch.Tensor]:
    """The row numbers of each group, ascending."""
    names, counts = groups.unique(return_counts=True)
    return dict(zip(names.tolist(), groups.argsort(stable=True).split(counts.tolist()), strict=True))


def prompt_batches(
    groups: torch.Tensor, prompts_per_batch: int, seed: int, *, rows_per_prompt: int = 0, start: int = 0
) -> Iterator[torch.Tensor]:
    """Endless batches of row numbers, from batch `start` on: some prompts' rows, every prompt once before any comes again.

    All rows of a prompt, or with `rows_per_prompt` so many drawn at random.
    """
    names, members = groups.unique(), rows_by_group(groups)

    def draw(name: int, rng: torch.Generator) -> torch.Tensor:
        rows = members[name]
        return rows[torch.randperm(len(rows), generator=rng)[:rows_per_prompt]] if rows_per_prompt else rows

    batches = max(1, len(names) // prompts_per_batch)
    for number in itertools.count(start):
        epoch, place = divmod(number, batches)
        if place == 0 or number == start:
            order = names[torch.randperm(len(names), generator=stream(seed, "epoch", epoch))].tolist()
        rng = stream(seed, "rows", number)
        yield torch.cat([draw(name, rng) for name in order[place * prompts_per_batch :][:prompts_per_batch]])


class ConditioningTable:
    """Text conditioning by prompt number; the generator encodes each prompt once, when it is first asked for."""

    def __init__(self, generator: Generator, prompts: Sequence[str]) -> None:
        self.generator, self.prompts = generator, prompts

    def __getitem__(self, groups: torch.Tensor) -> TextConditioning:
        return self.generator.encode([self.prompts[group] for group in groups.tolist()])

    def told(self, surrogate: Surrogate, groups: torch.Tensor, passing: Sequence[str] = ()) -> TextConditioning:
        """Conditioning of table rows, then of prompts that come but once; no more of it than a surrogate looks at."""
        if surrogate.backbone.blind:
            return TextConditioning.of_words([*(self.prompts[group] for group in groups.tolist()), *passing])
        if surrogate.blind:
            return self[groups].with_words(passing)
        return TextConditioning.stack([self[groups], *([self.generator.encode_passing(passing)] if passing else [])])
