"""Prompt sets: the built-in ones, text files of one prompt a line, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from finetune.errors import PromptError
from finetune.generators.preset import Preset
from reward_zoo.errors import did_you_mean, first_line
from reward_zoo.tables import PROMPT_COLUMNS, TABLE_SUFFIXES, column, read_table

_DATASET_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
_FOLDER = Path(__file__).parent / "generators" / "tiny_signs" / "prompts"


def built_in_sets() -> list[str]:
    """Names of the prompt sets that ship."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def load_prompts(name: str) -> list[str]:
    """The distinct prompts of a built-in set or of a file, in order.

    Files are text with one prompt a line, or tables (.csv, .jsonl, .json, .parquet) with a column prompt, caption or text.
    A Hugging Face dataset id (OWNER/NAME, or OWNER/NAME:SPLIT; the split is else train) gives that column of its rows.

    Raises:
        PromptError: no such set, file or dataset, or no prompt in it.
        TableError: a table that cannot be read, or lacks the column.
    """
    path = _FOLDER / f"{name}.txt" if name in built_in_sets() else Path(name)
    if not path.exists() and path.suffix not in (".txt", *TABLE_SUFFIXES) and _DATASET_ID.fullmatch(name):
        return _distinct(_from_hub(name), name)
    if not path.is_file():
        raise PromptError(f"prompts {name!r}: no such prompt set or file; {did_you_mean(name, built_in_sets())}")
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _distinct([str(prompt) for prompt in column(read_table(path), PROMPT_COLUMNS, path)], name)
    return _distinct(_lines(path, name), name)


def _distinct(lines: Iterable[str], name: str) -> list[str]:
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not prompts:
        raise PromptError(f"prompts {name!r}: holds no prompt; write one a line")
    return prompts


def _from_hub(name: str) -> list[str]:
    """The prompts of a dataset, streamed, so that its pictures are not fetched along."""
    dataset, _, split = name.partition(":")
    try:
        import datasets
    except ImportError as error:
        raise PromptError(
            f"prompts {name!r}: no such file; as a Hugging Face dataset it needs the package datasets: pip install datasets"
        ) from error
    try:
        rows = datasets.load_dataset(dataset, split=split or "train", streaming=True)
        columns = rows.column_names or list(next(iter(rows)))
        found = next((column for column in PROMPT_COLUMNS if column in columns), None)
        if found is None:
            raise PromptError(
                f"prompts {name!r}: the dataset has no column {' or '.join(PROMPT_COLUMNS)}; it has {', '.join(columns)}"
            )
        return [str(row[found]) for row in rows.select_columns([found]) if row[found]]
    except PromptError:
        raise
    except Exception as error:
        reason = first_line(error)
        raise PromptError(f"prompts {name!r}: no such file, and no Hugging Face dataset that can be read ({reason})") from error


def _lines(path: Path, name: str) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"prompts {name!r}: cannot be read as UTF-8 text ({error})") from error


def prompts_of(preset: Preset | None, field: str, flag: str) -> list[str]:
    """The prompts a preset brings along in `field`.

    Raises:
        PromptError: it brings none; the message names the flag that gives them.
    """
    name = getattr(preset, field, None)
    if name is None:
        raise PromptError(
            f"{flag}: this generator brings no prompts; give a text file with one prompt a line, or {built_in_sets()}"
        )
    return load_prompts(name)
