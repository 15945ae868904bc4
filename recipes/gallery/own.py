"""A reward of one's own, as in the how-to page."""

from __future__ import annotations

import torch


def left_dark(images: torch.Tensor) -> torch.Tensor:
    """How dark is the left half?"""
    return 1 - images[..., : images.shape[-1] // 2].mean((1, 2, 3))
