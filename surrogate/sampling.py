"""The labels of a store as tensors, split by prompt, and batches that hold several latents of each prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from reward_zoo.prompts import quoted_text
from surrogate.errors import LabelError, StoreError
from surrogate.store import Label, LabelledStore
from surrogate.types import Generator, TextConditioning


@dataclass(frozen=True)
class LabelledLatents:
    """Latents N×4×h×w with true scores (N,), stage (N,) and the number of their prompt (N,) in `prompts`.

    `perceived` is what the reward read off each (N texts), where it reads anything. `several` (N×R) are the scores of
    the rewards named in `part_names`, where the score is made of several.
    """

    latents: torch.Tensor
    scores: torch.Tensor
    stages: torch.Tensor
    groups: torch.Tensor
    prompts: list[str]
    perceived: list[str]
    several: torch.Tensor | None = None
    part_names: tuple[str, ...] = ("reward",)

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, mask: torch.Tensor) -> LabelledLatents:
        """The rows of a mask or of row numbers; prompts keep their numbers."""
        perceived = [self.perceived[row] for row in torch.arange(len(self))[mask].tolist()]
        picked = {name: getattr(self, name)[mask] for name in ("latents", "scores", "stages", "groups")}
        several = None if self.several is None else self.several[mask]
        return replace(self, **picked, perceived=perceived, several=several)

    @property
    def parts(self) -> torch.Tensor:
        """Scores of each reward, N×R."""
        return self.scores[:, None] if self.several is None else self.several

    @property
    def perceives_text(self) -> bool:
        """Whether the reward read text, and the prompts quote the text they want."""
        return any(self.perceived) and 2 * len(self.wanted_texts()) > len(self.prompts)

    def wanted_texts(self) -> list[str]:
        """The texts that prompts quote, of those prompts that do."""
        return [text for text in map(quoted_text, self.prompts) if text]

    def row_prompts(self) -> list[str]:
        """The prompt of each row."""
        return [self.prompts[group] for group in self.groups.tolist()]


def read_stores(stores: Sequence[LabelledStore], *, part_names: Sequence[str] = ()) -> LabelledLatents:
    """All valid labels of some stores, which may be of several generators of one latent space.

    Args:
        stores: the stores.
        part_names: components to keep as scores of their own, where the reward is made of several.

    Raises:
        StoreError: the stores are of several rewards or latent spaces.
        LabelError: no label is valid, or all scores are equal.
    """
    for key in ("reward", "latent_space"):
        values = {json.dumps(store.meta.get(key)): store for store in stores}
        if len(values) > 1:
            folders = " and ".join(str(store.folder) for store in list(values.values())[:2])
            raise StoreError(f"{folders}: labels of several {key.replace('_', ' ')}s ({', '.join(values)}) do not mix")
    labels = [label for store in stores for label in store.labels()]
    latents = torch.cat([store.latents() for store in stores])
    prompts = list(dict.fromkeys(label.prompt for label in labels))
    number = {prompt: index for index, prompt in enumerate(prompts)}
    data = LabelledLatents(
        latents=latents,
        scores=torch.tensor([label.score for label in labels]),
        stages=torch.tensor([label.stage for label in labels]),
        groups=torch.tensor([number[label.prompt] for label in labels]),
        prompts=prompts,
        perceived=[label.perceived for label in labels],
        **parts_of(labels, part_names),
    )
    data = data.rows(data.scores.isfinite())
    if not len(data) or data.scores.min() == data.scores.max():
        value = data.scores[0].item() if len(data) else "NaN"
        raise LabelError(
            f"the reward gave the same score ({value}) to all {len(labels)} samples: nothing to learn; "
            "check the reward on these images, or give more varied prompts"
        )
    return data


def parts_of(labels: Sequence[Label], part_names: Sequence[str]) -> dict[str, Any]:
    """The fields `several` and `part_names` of `LabelledLatents`; none where the score is one reward's.

    Raises:
        LabelError: a label lacks a component.
    """
    if not part_names:
        return {}
    found = [json.loads(label.components) for label in labels]
    missing = next((name for name in part_names if any(name not in components for components in found)), None)
    if missing is not None:
        raise LabelError(f"labels hold no component {missing!r}; label again with all the rewards")
    several = torch.tensor([[components[name] for name in part_names] for components in found])
    return {"several": several.nan_to_num(), "part_names": tuple(part_names)}


def split_by_prompt(data: LabelledLatents, share: float, rng: torch.Generator) -> tuple[LabelledLatents, LabelledLatents]:
    """(training, held-out) rows; no prompt stands in both.

    Raises:
        LabelError: too few prompts for a split.
    """
    count = len(data.prompts)
    held = max(1, round(share * count))
    if count - held < 1:
        raise LabelError(f"{count} prompts are too few to hold some out; give at least 2")
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.randperm(count, generator=rng)[:held]] = True
    mask = chosen[data.groups]
    return data.rows(~mask), data.rows(mask)


def prompt_batches(
    groups: torch.Tensor, prompts_per_batch: int, rng: torch.Generator, *, rows_per_prompt: int = 0
) -> Iterator[torch.Tensor]:
    """Endless batches of row numbers: some prompts' rows, every prompt once before any comes again.

    All rows of a prompt, or with `rows_per_prompt` so many drawn at random.
    """
    names = groups.unique()
    members = {int(name): torch.nonzero(groups == name)[:, 0] for name in names}

    def draw(name: int) -> torch.Tensor:
        rows = members[name]
        return rows[torch.randperm(len(rows), generator=rng)[:rows_per_prompt]] if rows_per_prompt else rows

    while True:
        order = names[torch.randperm(len(names), generator=rng)].tolist()
        for start in range(0, max(1, len(order) - prompts_per_batch + 1), prompts_per_batch):
            yield torch.cat([draw(name) for name in order[start : start + prompts_per_batch]])


class ConditioningTable:
    """Text conditioning by prompt number; the generator encodes each prompt once, when it is first asked for."""

    def __init__(self, generator: Generator, prompts: Sequence[str]) -> None:
        self.generator, self.prompts = generator, prompts

    def __getitem__(self, groups: torch.Tensor) -> TextConditioning:
        return self.generator.encode([self.prompts[group] for group in groups.tolist()])

    def with_passing(self, groups: torch.Tensor, prompts: Sequence[str]) -> TextConditioning:
        """Conditioning of table rows, then of prompts that will not be asked for again."""
        known = self[groups]
        return TextConditioning.stack([known, self.generator.encode_passing(prompts)]) if prompts else known
