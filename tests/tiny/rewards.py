"""Tiny checkpoints with random weights, in the published checkpoints' own formats: reward name → builder of its spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.tiny import blip, bridges, clip, judge, surrogate, vlm

DETECTOR = '''
def detect(pictures):
    """A box for each picture; what it is depends on the brightness."""
    return [[("cat" if picture.mean() > 127 else "dog", 0.95, (2, 2, 20, 20))] for picture in pictures]
'''


def build_detector(folder: Path) -> str:
    """geneval with a detector of the user's own."""
    (folder / "detector.py").write_text(DETECTOR)
    return f"geneval:detector={folder / 'detector.py'}:detect"


SPECS: dict[str, Callable[[Path], str]] = {
    **clip.SPECS,
    **blip.SPECS,
    **judge.SPECS,
    **vlm.SPECS,
    **bridges.SPECS,
    "geneval": build_detector,
    "surrogate": surrogate.build_spec,
    "isolated": lambda folder: "isolated:contrast",
    "composite": lambda folder: "0.5*brightness+0.5*contrast",
}
