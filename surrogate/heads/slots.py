"""A reader with a slot for each letter: slot k looks for the k-th one, anywhere in the maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from surrogate.heads.reader import Reader


class SlotReader(Reader):
    """See `Reader`; where a line is expected to stand at first, its letters lie side by side."""

    kind = "reading"
    statistics = 7

    def __init__(self, channels: list[int], *, size: tuple[int, int], alphabet: str, slots: int, width: int = 256) -> None:
        super().__init__(channels, size=size, alphabet=alphabet, slots=slots, width=width)
        self.place = nn.Parameter(_left_to_right(slots, size))
        self.attention = nn.Conv2d(width, slots, 1)

    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities of each slot's letter, B×slots×(alphabet, another, none)."""
        seen = self.seen(features)
        where = (self.attention(seen).float() + 10 * self.place).flatten(2).softmax(-1)
        found = torch.einsum("bkp,bcp->bkc", where, self.letters(seen).float().flatten(2))
        return found.log_softmax(-1)

    def judge(self, read: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
        """See `Reader`."""
        codes, lengths = self.cut(wanted, read.device)
        lengths = lengths.clamp_min(1)
        letters = read.gather(-1, codes[..., None])[..., 0]  # log p of the wanted letter
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

    def perception_loss(self, read: torch.Tensor, perceived: Sequence[str], *, smoothing: float = 0.0) -> torch.Tensor:
        """Cross-entropy of the letters that the reward perceived, a share `smoothing` of it against every letter alike."""
        codes, _ = self.cut(perceived, read.device)
        return (1 - smoothing) * F.nll_loss(read.flatten(0, 1), codes.flatten()) - smoothing * read.mean()


def _left_to_right(slots: int, size: tuple[int, int]) -> torch.Tensor:
    """Where the letters of a line stand at first sight: side by side, each over its share of the width (1×slots×h×w)."""
    columns = (torch.arange(size[1]) + 0.5) / size[1]
    centres = (torch.arange(slots) + 0.5) / slots
    distance = (columns - centres[:, None]) * slots
    return (-0.05 * distance**2)[None, :, None, :].repeat(1, 1, size[0], 1)
