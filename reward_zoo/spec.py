"""The text people type to name a reward, taken apart. Loads nothing.

ocr                             a registered name
ocr:engine=easyocr,mode=exact   with options
timm:resnet50?class=tabby       with an argument, then options
http://host:8000/ocr            on a server; several that share the work by commas; unix:SOCKET/ocr on this machine
isolated:hpsv2                  in a process of its own, and in the environment it asks for; isolated:my/rewards.py:left_half
my/rewards.py:left_half         a function or class in a file
my_package.rewards:left_half    the same in an importable module
my/rewards.py:LeftHalf:share=.4 a class with options of its __init__
0.7*ocr+0.3*brightness          several, combined; see composite.py
min(ocr+brightness)             the same by another aggregation
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from reward_zoo.errors import SpecError

_NAME = re.compile(r"[A-Za-z_]\w*")
_OPTIONS = re.compile(r"[A-Za-z_][\w.]*:([A-Za-z_]\w*:)?[A-Za-z_]\w*=")
_WEIGHT = re.compile(r"\s*-?[\d.]+\s*\*")
ISOLATED = "isolated:"
REMOTE = ("http://", "https://", "unix:")
_REMOTE = re.compile(r"(https?://[^/\s]+(/[^\s]*)?|unix:[^\s]+)/[\w.-]+/?")


@dataclass(frozen=True)
class NamedSpec:
    """A registered reward, its options, still text, and its argument, for those that take one."""

    name: str
    options: dict[str, str] = field(default_factory=dict)
    argument: str = ""


@dataclass(frozen=True)
class RemoteSpec:
    """A reward on one server, or on several that share the work."""

    urls: tuple[str, ...]


@dataclass(frozen=True)
class IsolatedSpec:
    """A reward in a process of its own: its spec."""

    spec: str


@dataclass(frozen=True)
class ObjectSpec:
    """An attribute of a Python file or module, and options, still text, where it is a class."""

    where: str  # path ending in .py, or dotted module
    attribute: str
    options: dict[str, str] = field(default_factory=dict)
    argument: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """The spec without options."""
        return f"{self.where}:{self.attribute}"


@dataclass(frozen=True)
class CompositeSpec:
    """Weighted members, and how they are combined."""

    aggregation: str
    members: tuple[tuple[float, str], ...]


def parse_composite(text: str, aggregations: Iterable[str]) -> CompositeSpec | None:
    """`AGGREGATION(…)` or `WEIGHT*SPEC+WEIGHT*SPEC`; None if the text is neither.

    Raises:
        SpecError: a weight is no number, or a member is missing.

    >>> parse_composite("0.7*ocr+aesthetic", ["sum"])
    CompositeSpec(aggregation='sum', members=((0.7, 'ocr'), (1.0, 'aesthetic')))
    """
    aggregation, inner = "sum", text.strip()
    for name in aggregations:
        if inner.startswith(f"{name}(") and inner.endswith(")"):
            aggregation, inner = name, inner[len(name) + 1 : -1]
            break
    else:
        if "+" not in inner and not _WEIGHT.match(inner):
            return None
    members = []
    for part in inner.split("+"):
        weight, star, spec = part.strip().partition("*")
        if not star:
            weight, spec = "1", weight
        try:
            members.append((float(weight), spec.strip()))
        except ValueError:
            raise SpecError(f"reward {text!r}: weight {weight!r} is not a number; write 0.7*NAME+0.3*NAME") from None
        if not spec.strip():
            raise SpecError(f"reward {text!r}: a member is missing; write 0.7*NAME+0.3*NAME")
    return CompositeSpec(aggregation, tuple(members))


def parse_spec(text: str) -> NamedSpec | ObjectSpec | RemoteSpec | IsolatedSpec:
    """Take a spec apart.

    Raises:
        SpecError: the text is no spec.

    >>> parse_spec("ocr:mode=exact")
    NamedSpec(name='ocr', options={'mode': 'exact'}, argument='')
    >>> parse_spec("my/file.py:dark")
    ObjectSpec(where='my/file.py', attribute='dark', options={})
    >>> parse_spec("isolated:ocr:mode=exact")
    IsolatedSpec(spec='ocr:mode=exact')
    >>> parse_spec("timm:resnet50?class=tabby")
    NamedSpec(name='timm', options={'class': 'tabby'}, argument='resnet50')
    """
    text = text.strip()
    if text.startswith(REMOTE):
        return RemoteSpec(tuple(_remote(part.strip(), text) for part in text.split(",")))
    if text.startswith(ISOLATED):
        inner = text.removeprefix(ISOLATED).strip()
        if inner.startswith((*REMOTE, ISOLATED)):
            raise SpecError(f"reward {text!r}: {inner!r} is in a process of its own already; leave out {ISOLATED!r}")
        parse_spec(inner)
        return IsolatedSpec(inner)
    in_file = ".py:" in text and not _OPTIONS.match(text)  # an option's value may name a file, too
    head, colon, tail = text.partition(".py:") if in_file else text.partition(":")
    head += ".py" if in_file else ""
    if head.endswith(".py") or ("." in head and "/" not in head and colon):
        return _object(head, tail, text)
    if not _NAME.fullmatch(head):
        raise SpecError(f"reward {text!r}: not a spec; write NAME, NAME:option=value, FILE.py:FUNCTION or MODULE:ATTRIBUTE")
    if colon and not tail.strip():
        raise SpecError(f"reward {text!r}: after ':' comes option=value")
    argument, question, listed = tail.partition("?")
    if "=" in argument:  # options alone, whatever marks their values hold
        argument, question, listed = "", "", tail
    parts = re.split("[,&]" if question else ",", listed) if listed else []
    return NamedSpec(head, _options(parts, text), argument.strip())


def _object(where: str, tail: str, text: str) -> ObjectSpec:
    attribute, colon, listed = tail.partition(":")
    if not _NAME.fullmatch(attribute):
        raise SpecError(f"reward {text!r}: after '{where}:' comes the name of a function or class, then perhaps :option=value")
    return ObjectSpec(where, attribute, _options(listed.split(",") if colon else [], text))


def _options(parts: list[str], text: str) -> dict[str, str]:
    options = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(key.strip()):
            raise SpecError(f"reward {text!r}: option {part!r} is not name=value")
        options[key.strip()] = value.strip()
    return options


def _remote(url: str, text: str) -> str:
    if not _REMOTE.fullmatch(url):
        raise SpecError(f"reward {text!r}: {url!r} is no address of a reward; write http://HOST:PORT/NAME or unix:SOCKET/NAME")
    return url
