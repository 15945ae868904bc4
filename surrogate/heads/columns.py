"""A reader that goes from left to right: at every column of the maps a letter, or none, as recognisers of text lines do.

It is taught by connectionist temporal classification (Graves et al., ICML 2006), which does not care where the letters stand:
a letter that is missing moves no other one, where in a `SlotReader` all that follow change places. CRNN (Shi et al. 2015) and
the recogniser of RapidOCR are made so. Such lessons are slow at first, so that a slot reader on the same features is taught
beside it, and never asked (numbers of both: docs/surrogates.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from reward_zoo.text_match import normalize
from surrogate.heads.reader import Reader
from surrogate.heads.slots import SlotReader


class ColumnReader(Reader):
    """See `Reader`; of a map with several rows each column attends to some."""

    kind = "columns"
    statistics = 6

    def __init__(self, channels: list[int], *, size: tuple[int, int], alphabet: str, slots: int, width: int = 256) -> None:
        super().__init__(channels, size=size, alphabet=alphabet, slots=slots, width=width)
        self.attention = nn.Conv2d(width, 1, 1)
        self.guide = SlotReader(channels, size=size, alphabet=alphabet, slots=slots, width=width)
        del self.guide.match

    def look(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Log-probabilities of letters, B×(slots + w)×(alphabet, another, none): the guide's, and then those of each column.

        At a column "none" also stands between equal letters.
        """
        seen = self.seen(features)
        rows = self.attention(seen).float().softmax(2)
        columns = (self.letters(seen).float() * rows).sum(2).transpose(1, 2).log_softmax(-1)
        return torch.cat([self.guide.look(features), columns], dim=1)

    def judge(self, read: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
        """See `Reader`."""
        read = read[:, self.slots :]
        codes, lengths = self.cut([normalize(text) or self.alphabet[0] for text in wanted], read.device)
        surprise = self._surprise(read, codes, lengths)
        begun = letters_begun(read.exp()[..., : self.none])
        there = begun.sum(-1)
        count = there.sum(1)
        surest = (read[..., : self.none].amax(-1).exp() * there).sum(1) / count.clamp_min(0.5)
        each = (surprise / lengths).clamp_max(8)
        known = (soft_ned(begun, codes, lengths), -each / 4, (-surprise).exp(), (-each).exp(), count / lengths - 1, surest)
        return self.match(torch.stack(known, dim=1))[:, 0]

    def perception_loss(self, read: torch.Tensor, perceived: Sequence[str], *, smoothing: float = 0.0) -> torch.Tensor:
        """−log p a letter of the text that the reward perceived, a share `smoothing` of it against every letter alike.

        And the guide's own.
        """
        guided, read = read[:, : self.slots], read[:, self.slots :]
        codes, lengths = self.cut(perceived, read.device)
        surprise = self._surprise(read, codes, lengths) / (lengths + 1)
        own = (1 - smoothing) * surprise.mean() - smoothing * read.mean()
        return own + self.guide.perception_loss(guided, perceived, smoothing=smoothing)

    def _surprise(self, read: torch.Tensor, codes: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """−log p (B,) of texts, over all ways to lay them along the columns, of which there are enough (building.py)."""
        columns = torch.full((len(read),), read.shape[1], device=read.device)
        given = (read.transpose(0, 1), codes, columns, lengths)
        return F.ctc_loss(*given, blank=self.none, reduction="none", zero_infinity=True)


def letters_begun(chance: torch.Tensor) -> torch.Tensor:
    """Chances of each letter to begin at each column, of those to stand there (B×w×letters): next to itself it goes on."""
    return chance * (1 - F.pad(chance[:, :-1], (0, 0, 1, 0)))


def soft_ned(begun: torch.Tensor, codes: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """1 − expected edit distance / longer length (B,): Levenshtein's recursion on the probabilities of columns.

    Args:
        begun: chances of each letter to begin at each column, B×w×letters.
        codes: class numbers of the wanted texts, B×n; what stands behind their lengths may be any number.
        lengths: theirs, (B,), at least 1.
    """
    most = int(lengths.max())
    wanted = codes[:, None, :most].clamp_max(begun.shape[-1] - 1).expand(-1, begun.shape[1], -1)
    hits, written = begun.gather(-1, wanted), begun.sum(-1)
    place = torch.arange(most + 1, device=begun.device).float()
    distance = place.expand(len(begun), -1)  # of what was read so far to the wanted text's first letters
    for column in range(begun.shape[1]):
        passed = distance + written[:, column, None]
        replaced = distance[:, :-1] + 1 - hits[:, column]
        best = torch.cat([passed[:, :1], torch.minimum(passed[:, 1:], replaced)], dim=1)
        distance = torch.cummin(best - place, dim=1).values + place  # letters that are missing cost 1 each
    longest = torch.maximum(written.sum(1), lengths.float())
    return 1 - distance.gather(1, lengths[:, None])[:, 0] / longest
