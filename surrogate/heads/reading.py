"""A head that reads: feature maps → the text that the reward would perceive → how well it matches the wanted one.

For rewards that perceive text. The reader is taught by what the reward said it perceived (cross-entropy, letter by letter),
a far richer lesson than one number a picture; the match with the text that the prompt quotes is a few statistics of the
letters' probabilities, joined by a small network that is trained on the scores. It needs features that never saw the
prompt: a backbone that knows the wanted text predicts that instead of reading (benchmarks/LOG.md has the numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from reward_zoo.prompts import quoted_text
from reward_zoo.text_match import normalize
from surrogate.types import TextConditioning

STATISTICS = 7


class ReadingHead(nn.Module):
    """Slot k looks for the k-th letter anywhere in the maps.

    Args:
        channels: of each feature map.
        size: height and width of the largest map.
        alphabet: letters it tells apart; every other one is "another".
        slots: longest text it can read.
    """

    kind = "reading"

    def __init__(self, channels: list[int], *, size: tuple[int, int], alphabet: str, slots: int, width: int = 256) -> None:
        super().__init__()
        self.size, self.alphabet, self.slots, self.width = size, alphabet, slots, width
        self._class = {letter: number for number, letter in enumerate(alphabet)}
        self.other, self.none = len(alphabet), len(alphabet) + 1
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.norm = nn.GroupNorm(8, width)
        self.place = nn.Parameter(_left_to_right(slots, size))
        self.attention = nn.Conv2d(width, slots, 1)
        self.letters = nn.Conv2d(width, len(alphabet) + 2, 1)
        self.match = nn.Sequential(nn.Linear(STATISTICS, 32), nn.SiLU(), nn.Linear(32, 1))

    def settings(self) -> dict[str, Any]:
        """What rebuilding it needs."""
        return {
            "kind": self.kind,
            "size": list(self.size),
            "alphabet": self.alphabet,
            "slots": self.slots,
            "width": self.width,
        }

    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities of each slot's letter, B×slots×(alphabet, another, none)."""
        total = None
        for feature, projection in zip(features, self.projections, strict=True):
            mapped = projection(feature)
            if mapped.shape[-2:] != self.size:
                mapped = F.interpolate(mapped, size=self.size, mode="bilinear")
            total = mapped if total is None else total + mapped
        seen = F.silu(self.norm(total))
        where = (self.attention(seen).float() + 10 * self.place).flatten(2).softmax(-1)
        found = torch.einsum("bkp,bcp->bkc", where, self.letters(seen).float().flatten(2))
        return found.log_softmax(-1)

    def rate(self, looks: torch.Tensor, conditioning: TextConditioning) -> torch.Tensor:
        """Scores (B,) of what was read against the text that each prompt quotes; in training they teach the match alone."""
        read = looks.detach() if self.training else looks
        return self.judge(read, [quoted_text(prompt) or "" for prompt in conditioning.prompts])

    def judge(self, read: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
        """Scores (B,) of read letters (B×slots×classes) against B texts."""
        texts = [normalize(text)[: self.slots] for text in wanted]
        lengths = torch.tensor([max(1, len(text)) for text in texts], device=read.device)
        letters = read.gather(-1, self.encode(texts, read.device)[..., None])[..., 0]  # log p of the wanted letter
        place = torch.arange(self.slots, device=read.device)
        inside = (place < lengths[:, None]).float()
        after = (place == lengths[:, None]).float()
        behind = (place >= lengths[:, None]).float()
        chance = letters.exp()
        hits = (chance * inside).sum(1) / lengths
        ends = (chance * after).sum(1) + (lengths >= self.slots).float()
        extra = ((1 - chance) * behind).sum(1) / lengths  # letters that nobody asked for
        least = (chance + 1 - inside).amin(1)
        surest = (read.amax(-1).exp() * inside).sum(1) / lengths
        log_hits = (letters.clamp_min(-8) * inside).sum(1) / lengths / 4
        every = (letters.clamp_min(-8) * inside).sum(1).exp()
        return self.match(torch.stack([hits, ends, extra, least, surest, log_hits, every], dim=1))[:, 0]

    def encode(self, texts: Sequence[str], device: torch.device | str = "cpu") -> torch.Tensor:
        """Class numbers of B normalised texts, B×slots, filled up with "none"."""
        rows = [[self._class.get(letter, self.other) for letter in text[: self.slots]] for text in texts]
        return torch.tensor([row + [self.none] * (self.slots - len(row)) for row in rows], device=device)

    def perception_loss(self, read: torch.Tensor, perceived: Sequence[str], *, smoothing: float = 0.0) -> torch.Tensor:
        """Cross-entropy of the letters that the reward perceived, a share `smoothing` of it against every letter alike."""
        wanted = self.encode([normalize(text) for text in perceived], read.device)
        return (1 - smoothing) * F.nll_loss(read.flatten(0, 1), wanted.flatten()) - smoothing * read.mean()


def _left_to_right(slots: int, size: tuple[int, int]) -> torch.Tensor:
    """Where the letters of a line stand at first sight: side by side, each over its share of the width (1×slots×h×w)."""
    columns = (torch.arange(size[1]) + 0.5) / size[1]
    centres = (torch.arange(slots) + 0.5) / slots
    distance = (columns - centres[:, None]) * slots
    return (-0.05 * distance**2)[None, :, None, :].repeat(1, 1, size[0], 1)


def alphabet_of(texts: Sequence[str], *, least: int = 20) -> str:
    """Letters that occur at least `least` times in the normalised texts, sorted; at least one."""
    counts: dict[str, int] = {}
    for text in texts:
        for letter in normalize(text):
            counts[letter] = counts.get(letter, 0) + 1
    often = sorted(letter for letter, count in counts.items() if count >= least)
    return "".join(often) or "".join(sorted(counts)) or "a"
