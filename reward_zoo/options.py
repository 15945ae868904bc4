"""Options given as text, typed from the signature of what takes them. Unknown names are refused."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from reward_zoo.errors import SpecError, did_you_mean

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
Kind = TypeVar("Kind")


def settings_of(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """A dataclass of settings from keyword arguments; what is not given keeps its default.

    Raises:
        SpecError: no such setting.
        LasroError: what the dataclass raises of a value.
    """
    known = [field.name for field in fields(kind)]
    for name, value in given.items():
        if name not in known:
            raise SpecError(f"{name}={value!r}: {kind.__name__} has no setting {name!r}; {did_you_mean(name, known)}")
    return kind(**given)


def typed_options(factory: Callable[..., Any], options: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Turn option texts into the types `factory`'s keyword parameters declare.

    Raises:
        SpecError: an option `factory` does not take, or a value of the wrong type; the message lists the valid ones.
    """
    parameters = inspect.signature(factory).parameters
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    typed = {}
    for key, text in options.items():
        key = f"{key}_" if f"{key}_" in parameters else key  # class= is class_ in Python
        if key not in parameters:
            known = [name.rstrip("_") for name in parameters]
            hint = did_you_mean(key, known) if known else "it takes none"
            others = f" (options: {', '.join(known)})" if hint.startswith("did") else ""
            raise SpecError(f"{owner}: no option {key!r}; {hint}{others}")
        kind = hints.get(key, type(parameters[key].default))  # a person's own may have no annotations
        typed[key] = _convert(text, kind, f"{owner}: option {key}={text!r}")
    return typed


def _convert(text: str, kind: Any, where: str) -> Any:  # noqa: ANN401 - typed by `kind`
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if text not in choices:
            raise SpecError(f"{where} is not one of {', '.join(map(str, choices))}")
        return text
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise SpecError(f"{where} is not a boolean; write true or false")
        return _BOOLEANS[text.lower()]
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise SpecError(f"{where} is not {'a whole number' if kind is int else 'a number'}") from None
    return text
