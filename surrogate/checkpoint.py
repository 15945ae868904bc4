"""Checkpoints of a run: whole or not there, and gone on with under the settings they were made with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from surrogate.errors import ResumeError


class UnreadableError(ResumeError):
    """A checkpoint is damaged."""


def save_checkpoint(path: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
    """Write tensors and plain data beside the settings; renamed into place last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({"config": config, **state}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, config: dict[str, Any], *, free: Collection[str] = ()) -> dict[str, Any]:
    """What `save_checkpoint` wrote, tensors on the CPU; settings named in `free` may have changed since.

    Raises:
        ResumeError: it is unreadable, or was made with other settings.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # whatever card wrote it
    except Exception as error:
        raise UnreadableError(
            f"--resume: {path} cannot be read ({type(error).__name__}); start again with --overwrite"
        ) from error
    made_with = state.pop("config")
    changed = [name for name in config if name not in free and _plain(made_with.get(name)) != _plain(config[name])]
    if changed:
        name = changed[0]
        raise ResumeError(f"--resume: {name} was {made_with.get(name)!r} and is now {config[name]!r}; use the old value")
    return state


@dataclass(frozen=True)
class Checkpoints:
    """A folder of checkpoints, `step-00000020.pt`, of which the newest `keep` stay."""

    folder: Path
    keep: int = 1

    def save(self, step: int, config: dict[str, Any], state: dict[str, Any]) -> None:
        """Write one, then take the oldest away."""
        save_checkpoint(self.folder / f"step-{step:08d}.pt", config, state)
        for old in self._all()[: -self.keep]:
            old.unlink()

    def load(self, config: dict[str, Any], *, free: Collection[str] = ()) -> dict[str, Any] | None:
        """The state of the newest that can be read; None if there is none.

        Raises:
            ResumeError: none can be read, or it was made with other settings.
        """
        found = self._all()
        for path in reversed(found[1:]):
            try:
                return load_checkpoint(path, config, free=free)
            except UnreadableError:
                continue
        return load_checkpoint(found[0], config, free=free) if found else None

    @property
    def step(self) -> int:
        """That of the newest; 0 if there is none."""
        return max((int(path.stem.removeprefix("step-")) for path in self._all()), default=0)

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON data
    return list(value) if isinstance(value, tuple) else value
