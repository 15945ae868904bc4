"""Hindsight: one metered look at a picture, many labels.

A reward that says what it perceived (a text read, a caption) also knows what the same picture would have scored under
another prompt, without looking again. Such pairs (one picture, two prompts) teach a surrogate what the prompt asks for,
where pairs of pictures under one prompt mostly teach it which is the cleaner one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from reward_zoo import Reward
from surrogate.sampling import LabelledLatents

Retarget = Callable[..., "tuple[str, float] | None"]


@dataclass(frozen=True)
class Hindsight:
    """Draws other prompts for a `share` of a batch's rows; `retarget` is `Reward.hindsight`."""

    retarget: Retarget
    share: float

    def draw(self, batch: LabelledLatents, rng: torch.Generator) -> tuple[list[int], list[str], list[float]]:
        """Row numbers of the batch, another prompt for each (made up, or another row's), and its score there."""
        own = random.Random(int(torch.randint(2**62, (1,), generator=rng)))  # noqa: S311 - no secret
        rows, prompts, scores = [], [], []
        others = list(dict.fromkeys(batch.row_prompts()))  # not all of the table's, some of which are held out
        for row, (prompt, perceived) in enumerate(zip(batch.row_prompts(), batch.perceived, strict=True)):
            found = self.retarget(prompt, perceived, own, others=others) if own.random() < self.share else None
            if found is not None:
                rows.append(row)
                prompts.append(found[0])
                scores.append(found[1])
        return rows, prompts, scores


def hindsight_of(reward: Reward, share: float) -> Hindsight | None:
    """The reward's hindsight; None if it has none, or none is wanted."""
    return Hindsight(reward.hindsight, share) if reward.has_hindsight and share > 0 else None
