"""Checkpoints of a run: whole or not there, and gone on with under the settings they were made with."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from surrogate.errors import ResumeError


def save_checkpoint(path: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
    """Write tensors and plain data beside the settings; renamed into place last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({"config": config, **state}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, config: dict[str, Any], *, free: Collection[str] = ()) -> dict[str, Any]:
    """What `save_checkpoint` wrote; settings named in `free` may have changed since.

    Raises:
        ResumeError: it is unreadable, or was made with other settings.
    """
    try:
        state = torch.load(path, weights_only=True)
    except Exception as error:
        raise ResumeError(f"--resume: {path} cannot be read ({type(error).__name__}); start again with --overwrite") from error
    made_with = state.pop("config")
    changed = [name for name in config if name not in free and _plain(made_with.get(name)) != _plain(config[name])]
    if changed:
        name = changed[0]
        raise ResumeError(f"--resume: {name} was {made_with.get(name)!r} and is now {config[name]!r}; use the old value")
    return state


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON data
    return list(value) if isinstance(value, tuple) else value
