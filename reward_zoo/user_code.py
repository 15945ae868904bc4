"""Importing what users wrote: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from reward_zoo.errors import SpecError, did_you_mean

_places: list[str] = []  # folders of people's files that are on Python's path because of them, the latest first


def load_attribute(where: str, attribute: str) -> Any:  # noqa: ANN401 - whatever the user wrote
    """An attribute of a Python file (a path that ends in .py) or of a module, which may lie in the current folder.

    A file may import what lies beside it. Installed modules of the same name go before both.

    Raises:
        SpecError: no such file or attribute, or importing it raised.
    """
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise SpecError(f"{where} has no {attribute!r}; {did_you_mean(attribute, public)}")
    return getattr(module, attribute)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.py")]) if path.parent.is_dir() else ""
        raise SpecError(f"reward file {path}: no such file{'; ' + near if near.startswith('did') else ''}")
    _look_in(path.parent)
    spec = importlib.util.spec_from_file_location(f"lasro_user_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        remedy = _remedy(path) if isinstance(error, ImportError) else ""
        raise SpecError(f"reward file {path}: importing it raised {type(error).__name__}: {error}{remedy}") from error
    return module


def _look_in(folder: Path) -> None:
    """Find modules there too: after all that is installed, which none may replace, and before what lies beside other files."""
    place = str(folder.resolve())
    if place in sys.path and place not in _places:
        return
    for name in (path.stem for path in folder.glob("*.py")):
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded and str(Path(loaded).parent) in {*_places} - {place}:
            del sys.modules[name]  # another file's helper of the same name
    sys.path[:] = [known for known in sys.path if known not in _places]
    _places[:] = [place, *(other for other in _places if other != place)]
    sys.path += _places


def _remedy(path: Path) -> str:
    if "# /// script" not in path.read_text(encoding="utf-8", errors="replace"):
        return ""
    return f"; it names packages of its own: write isolated:{path}:NAME, or install them here"


def _import_module(name: str) -> ModuleType:
    _look_in(Path())
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise SpecError(f"reward module {name}: importing it raised {type(error).__name__}: {error}") from error
