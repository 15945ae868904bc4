"""The text people type to name a reward, taken apart. Loads nothing.

ocr                             a registered name
ocr:engine=easyocr,mode=exact   with options
my/rewards.py:left_half         a function or class in a file
my_package.rewards:left_half    the same in an importable module
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from reward_zoo.errors import SpecError

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class NamedSpec:
    """A registered reward and its options, still text."""

    name: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectSpec:
    """An attribute of a Python file or module."""

    where: str  # path ending in .py, or dotted module
    attribute: str


def parse_spec(text: str) -> NamedSpec | ObjectSpec:
    """Take a spec apart.

    Raises:
        SpecError: the text is no spec.

    >>> parse_spec("ocr:mode=exact")
    NamedSpec(name='ocr', options={'mode': 'exact'})
    >>> parse_spec("my/file.py:dark")
    ObjectSpec(where='my/file.py', attribute='dark')
    """
    text = text.strip()
    head, colon, tail = text.rpartition(":") if text.count(".py:") else text.partition(":")
    if not colon:
        head, tail = text, ""
    if head.endswith(".py") or ("." in head and "/" not in head and colon):
        if not _NAME.fullmatch(tail):
            raise SpecError(f"reward {text!r}: after '{head}:' comes the name of a function or class")
        return ObjectSpec(head, tail)
    if not _NAME.fullmatch(head):
        raise SpecError(f"reward {text!r}: not a spec; write NAME, NAME:option=value, FILE.py:FUNCTION or MODULE:ATTRIBUTE")
    options = {}
    for part in tail.split(",") if tail else ():
        key, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(key.strip()):
            raise SpecError(f"reward {text!r}: option {part!r} is not name=value")
        options[key.strip()] = value.strip()
    return NamedSpec(head, options)
