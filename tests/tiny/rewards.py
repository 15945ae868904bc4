"""Tiny checkpoints with random weights, in the published checkpoints' own formats: reward name → builder of its spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.tiny import blip, clip

SPECS: dict[str, Callable[[Path], str]] = {
    **clip.SPECS,
    **blip.SPECS,
    "composite": lambda folder: "0.5*brightness+0.5*contrast",
}
