"""What a training look does to latents before the network sees them."""

import pytest
import torch

from reward_zoo.errors import SpecError
from surrogate.config import DistillConfig
from surrogate.objective import shifted
from surrogate.seeding import stream


def test_latents_are_moved_along_their_lines_and_the_border_repeated():
    latents = torch.arange(5 * 7).float().reshape(1, 1, 5, 7).repeat(64, 2, 1, 1)
    moved = shifted(latents, 1, stream(0, "shift"))
    columns = (torch.arange(7).add(by).clamp(0, 6) for by in (-1, 0, 1))
    wanted = [latents[0][..., picked] for picked in columns]
    found = [[torch.equal(row, one) for one in wanted] for row in moved]
    assert all(sum(row) == 1 for row in found)  # each row is one of them
    assert all(any(column) for column in zip(*found, strict=True))  # and all of them occur


def test_latents_stay_in_place_where_nothing_moves_them():
    latents, rng = torch.randn(3, 4, 2, 2), stream(0, "shift")
    assert shifted(latents, 0, rng) is latents
    assert torch.equal(torch.randn(2, generator=rng), torch.randn(2, generator=stream(0, "shift")))  # nothing was drawn


def test_a_negative_shift_is_a_mistake():
    with pytest.raises(SpecError, match="--max-shift -1: must be at least 0"):
        DistillConfig(max_shift=-1)
