"""What a Python file says it needs, in PEP 723's block of comments.

# /// script
# requires-python = ">=3.11"
# dependencies = ["some-package==1.2"]
# ///
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from reward_zoo.errors import SpecError
from reward_zoo.isolation.environment import Environment

# The reference implementation's expression, https://packaging.python.org/en/latest/specifications/inline-script-metadata/
_BLOCK = re.compile(r"(?m)^# /// (?P<kind>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def environment_of_file(file: Path) -> Environment:
    """The environment that a file's block asks for; without a block, this process's own.

    Raises:
        SpecError: there is no such file, or its block says nothing that can be understood.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    if not file.is_file():
        raise SpecError(f"reward file {file}: no such file")
    text = file.read_text(encoding="utf-8")
    blocks = [found["content"] for found in _BLOCK.finditer(text) if found["kind"] == "script"]
    if len(blocks) > 1:
        raise SpecError(f"reward file {file}: has {len(blocks)} blocks '# /// script'; keep one")
    lines = blocks[0].splitlines() if blocks else []
    try:
        said = tomllib.loads("\n".join(line[2:] for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"reward file {file}: its '# /// script' block is no TOML ({error})") from error
    return Environment(_texts(file, said.get("dependencies", [])), _text(file, said.get("requires-python", "")))


def _texts(file: Path, value: Any) -> tuple[str, ...]:  # noqa: ANN401 - whatever TOML holds
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise SpecError(f"reward file {file}: dependencies = {value!r} is no list of texts")
    return tuple(value)


def _text(file: Path, value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise SpecError(f"reward file {file}: requires-python = {value!r} is no text")
    return value
