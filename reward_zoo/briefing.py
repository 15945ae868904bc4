"""What a table says of its prompts besides their words: targets, metadata records, pictures to compare with.

Labelling, tuning and evaluation ask a reward about pictures and prompts alone. `briefed` wraps a reward so that it looks the
rest up by the prompt, in every call. Facts are a table's rows by prompt:

    {"a photo of a cat": {"prompt": "a photo of a cat", "target": …, "metadata": {…}, "reference": "/path/of/a/picture.png"}}

Where a table has no column metadata and the reward needs some, the whole row is the record (flow_grpo's geneval sets).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.composite import Composite
from reward_zoo.errors import MissingInputError, TableError
from reward_zoo.images import as_images, read_image
from reward_zoo.prompts import quoted_text
from reward_zoo.reward import Reward, RewardInputs, no_metadata
from reward_zoo.scores import Scores
from reward_zoo.tables import PROMPT_COLUMNS, TABLE_SUFFIXES, column, metadata_record, read_table

if TYPE_CHECKING:
    import random

    import torch

FACTS = ("target", "metadata", "reference")
Facts = dict[str, dict[str, Any]]


def facts_of(*sources: str | Path | None) -> Facts:
    """The rows of all sources that are tables, by prompt; prompt sets and text files say nothing more.

    Raises:
        TableError: a table cannot be read, or contradicts an earlier row.
    """
    paths = [Path(source) for source in sources if source]
    tables = [path for path in paths if path.suffix.lower() in TABLE_SUFFIXES and path.is_file()]
    return _together(row for path in tables for row in _rows(path))


def save_facts(path: Path, facts: Facts) -> None:
    """Write facts as a table (.jsonl) that `facts_of` reads, beside what stands there already; nothing where there are none.

    Raises:
        TableError: they contradict what stands there.
    """
    if not facts:
        return
    both = _together([*facts_of(path).values(), *facts.values()])
    lines = [json.dumps(row, ensure_ascii=False) for row in both.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text("\n".join(lines), encoding="utf-8")
    temporary.replace(path)


def briefed(reward: Reward, facts: Facts, prompts: Iterable[str] = ()) -> Reward:
    """The reward, told what `facts` say of each prompt; of a composite, every member is. Itself where there is nothing to tell.

    Raises:
        MissingInputError: one of `prompts` lacks metadata or a reference that the reward needs, or a fact that others have.
    """
    prompts = list(prompts)
    if isinstance(reward, Composite):
        members = [replace(member, reward=briefed(member.reward, facts, prompts)) for member in reward.members]
        return Composite(members, aggregation=reward.aggregation, spec=reward.card.name)
    if not facts and not {"metadata", "reference"} & set(reward.card.needs):
        return reward
    told = Briefed(reward, facts)
    for name in FACTS if prompts else ():
        told.of_each(name, prompts)
    return told


class Briefed(Reward):
    """A reward that looks up what its prompts bring along; what a call gives goes before."""

    def __init__(self, reward: Reward, facts: Facts) -> None:
        self.reward, self.facts = reward, facts
        self.card = replace(reward.card, needs=("prompt",))

    @property
    def has_hindsight(self) -> bool:
        """The reward's own."""
        return self.reward.has_hindsight

    @property
    def elsewhere(self) -> bool:
        """The reward's own."""
        return self.reward.elsewhere

    def fact(self, name: str, prompt: str) -> Any:  # noqa: ANN401 - a text, a record or a path
        """One fact of a prompt; None where nothing is known."""
        row = self.facts.get(prompt, {})
        if name == "metadata" and name not in row and name in self.reward.card.needs:
            return row or None
        return row.get(name)

    def score(self, inputs: RewardInputs) -> Scores:
        """The reward's own scores."""
        references = inputs.references
        if references is None and "reference" in self.reward.card.needs:
            references = _fitted(self.of_each("reference", inputs.prompts), inputs.images)
        return self.reward(
            images=inputs.images,
            prompts=inputs.prompts,
            targets=inputs.targets or self.of_each("target", inputs.prompts),
            metadata=inputs.metadata or self.of_each("metadata", inputs.prompts),
            references=references,
        )

    def hindsight(
        self,
        prompt: str,
        perceived: str,
        rng: random.Random,
        *,
        others: Sequence[str] = (),
        metadata_of: Callable[[str], dict[str, Any] | None] = no_metadata,
    ) -> tuple[str, float] | None:
        """The reward's own; none for a text that only the table knows, for no other prompt would ask for another."""
        target = self.fact("target", prompt) if "target" in self.reward.card.needs else None
        if target is not None and target != quoted_text(prompt):
            return None
        return self.reward.hindsight(
            prompt, perceived, rng, others=others, metadata_of=lambda other: self.fact("metadata", other)
        )

    def of_each(self, name: str, prompts: Sequence[str]) -> list[Any] | None:
        """One fact of each prompt; None where none has it: a target may still be quoted in the prompt.

        Raises:
            MissingInputError: a prompt lacks what the reward needs, or what others have.
        """
        values = [self.fact(name, prompt) for prompt in prompts]
        if None not in values:
            return values
        needed = name in self.reward.card.needs and name != "target"
        if not needed and all(value is None for value in values):
            return None
        raise MissingInputError(
            f"{self.card.name}: no {name} is given for the prompt {prompts[values.index(None)]!r}"
            f"{' (it needs one)' if needed else ', and others have one'}; "
            f"give prompts as a table (.csv, .jsonl, .parquet) with a column {name}, filled in for each"
        )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """A table's rows without what is empty, each with its prompt under "prompt"; pictures are found from the table's folder."""
    rows = read_table(path)
    for prompt, row in zip(column(rows, PROMPT_COLUMNS, path), rows, strict=True):
        said = {name: value for name, value in _plain(row).items() if value != ""}
        if "target" in said:
            said["target"] = str(said["target"])
        if "metadata" in said:
            said["metadata"] = metadata_record(said["metadata"], path)
        if "reference" in said:
            said["reference"] = str((path.parent / str(said["reference"])).resolve())
        yield {**said, "prompt": str(prompt).strip()}


def _together(rows: Iterable[dict[str, Any]]) -> Facts:
    """Rows by prompt, those that say more than the prompt."""
    facts: Facts = {}
    for row in rows:
        known = facts.get(prompt := row["prompt"], {})
        differ = [name for name in set(known) & set(row) if known[name] != row[name]]
        changed = next((name for name in differ if name in FACTS or isinstance(row[name], (list, dict))), None)
        if changed:
            raise TableError(
                f"the prompt {prompt!r} stands twice in the prompt tables, with {changed} {known[changed]!r} and "
                f"{row[changed]!r}; what goes with a prompt is looked up by its words, so let it stand once"
            )
        if len(row) > 1:
            facts[prompt] = {**row, **known}
    return facts


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """What JSON can say of a row (no pictures' bytes, no dates), without the nulls that Parquet fills up records with."""
    return _without_nulls(json.loads(json.dumps(row, default=lambda _: None)))


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON data
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _fitted(paths: Sequence[str], images: torch.Tensor) -> torch.Tensor:
    """Pictures cropped about their middle to the images' size, as real pictures are when they are labelled."""
    from PIL import Image, ImageOps

    size = (images.shape[-1], images.shape[-2])
    return as_images([ImageOps.fit(read_image(path), size, Image.Resampling.BICUBIC) for path in paths])
