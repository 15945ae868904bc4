"""Tiny checkpoints with random weights, in the published checkpoints' own format: name → builder of a spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# Each family's module adds its own: {"clip_score": build_clip} where build_clip(folder) writes files and gives a spec.
SPECS: dict[str, Callable[[Path], str]] = {}
