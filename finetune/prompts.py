"""Prompt sets: the built-in ones, text files of one prompt a line, and tables."""

from __future__ import annotations

from pathlib import Path

from finetune.errors import PromptError
from finetune.generators.preset import Preset
from reward_zoo.errors import did_you_mean
from reward_zoo.tables import TABLE_SUFFIXES, column, read_table

_FOLDER = Path(__file__).parent / "generators" / "tiny_signs" / "prompts"


def built_in_sets() -> list[str]:
    """Names of the prompt sets that ship."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def load_prompts(name: str) -> list[str]:
    """The distinct prompts of a built-in set or of a file, in order.

    Files are text with one prompt a line, or tables (.csv, .jsonl, .json, .parquet) with a column prompt, caption or text.

    Raises:
        PromptError: no such set or file, or no prompt in it.
        TableError: a table that cannot be read, or lacks the column.
    """
    path = _FOLDER / f"{name}.txt" if name in built_in_sets() else Path(name)
    if not path.is_file():
        raise PromptError(f"prompts {name!r}: no such prompt set or file; {did_you_mean(name, built_in_sets())}")
    if path.suffix.lower() in TABLE_SUFFIXES:
        lines = [str(prompt).strip() for prompt in column(read_table(path), ("prompt", "caption", "text"), path)]
    else:
        lines = _lines(path, name)
    prompts = list(dict.fromkeys(line for line in lines if line))
    if not prompts:
        raise PromptError(f"prompts {name!r}: the file holds no prompt; write one a line")
    return prompts


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
