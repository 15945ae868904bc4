"""What heads that read have in common: feature maps → letters → how well they match the text that the prompt quotes.

For rewards that perceive text. A reader is taught by what the reward said it perceived, letter by letter, a far richer lesson
than one number a picture; the match with the wanted text is a few statistics of the letters' probabilities, joined by a small
network that is trained on the scores. It needs features that never saw the prompt: a backbone that knows the wanted text
predicts that instead of reading (benchmarks/LOG.md has the numbers).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from reward_zoo.prompts import quoted_text
from reward_zoo.text_match import normalize
from surrogate.types import TextConditioning


class Reader(nn.Module, ABC):
    """Base of the heads that read.

    Args:
        channels: of each feature map.
        size: height and width of the largest map.
        alphabet: letters it tells apart; every other one is "another".
        slots: longest text it can read.
    """

    kind: ClassVar[str]
    statistics: ClassVar[int]  # of the letters' probabilities that `judge` looks at

    def __init__(self, channels: list[int], *, size: tuple[int, int], alphabet: str, slots: int, width: int = 256) -> None:
        super().__init__()
        self.size, self.alphabet, self.slots, self.width = size, alphabet, slots, width
        self._class = {letter: number for number, letter in enumerate(alphabet)}
        self.other, self.none = len(alphabet), len(alphabet) + 1
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.norm = nn.GroupNorm(8, width)
        self.letters = nn.Conv2d(width, len(alphabet) + 2, 1)
        self.match = nn.Sequential(nn.Linear(self.statistics, 32), nn.SiLU(), nn.Linear(32, 1))

    def settings(self) -> dict[str, Any]:
        """What rebuilding it needs."""
        return {
            "kind": self.kind,
            "size": list(self.size),
            "alphabet": self.alphabet,
            "slots": self.slots,
            "width": self.width,
        }

    def seen(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The feature maps as one, B×width×h×w."""
        total = None
        for feature, projection in zip(features, self.projections, strict=True):
            mapped = projection(feature)
            if mapped.shape[-2:] != self.size:
                mapped = F.interpolate(mapped, size=self.size, mode="bilinear")
            total = mapped if total is None else total + mapped
        return F.silu(self.norm(total))

    @abstractmethod
    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities of letters, B×places×(alphabet, another, none)."""

    @abstractmethod
    def judge(self, read: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
        """Scores (B,) of what `look` gave against B texts."""

    @abstractmethod
    def perception_loss(self, read: torch.Tensor, perceived: Sequence[str], *, smoothing: float = 0.0) -> torch.Tensor:
        """How badly the letters tell what the reward perceived, and for a share `smoothing` how far they are from all alike."""

    def rate(self, looks: torch.Tensor, conditioning: TextConditioning) -> torch.Tensor:
        """Scores (B,) of what was read against the text that each prompt quotes; in training they teach the match alone."""
        read = looks.detach() if self.training else looks
        return self.judge(read, [quoted_text(prompt) or "" for prompt in conditioning.prompts])

    def encode(self, texts: Sequence[str], device: torch.device | str = "cpu") -> torch.Tensor:
        """Class numbers of B normalised texts, B×slots, filled up with "none"."""
        rows = [[self._class.get(letter, self.other) for letter in text[: self.slots]] for text in texts]
        return torch.tensor([row + [self.none] * (self.slots - len(row)) for row in rows], device=device)

    def cut(self, texts: Sequence[str], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """B texts as the reward compares them, as far as they can be read: class numbers (B×slots) and lengths (B,)."""
        short = [normalize(text)[: self.slots] for text in texts]
        return self.encode(short, device), torch.tensor([len(text) for text in short], device=device)


def alphabet_of(texts: Sequence[str], *, least: int = 20) -> str:
    """Letters that occur at least `least` times in the normalised texts, sorted; at least one."""
    counts: dict[str, int] = {}
    for text in texts:
        for letter in normalize(text):
            counts[letter] = counts.get(letter, 0) + 1
    often = sorted(letter for letter, count in counts.items() if count >= least)
    return "".join(often) or "".join(sorted(counts)) or "a"
