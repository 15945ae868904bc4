"""One random stream per purpose, so that what one part draws never shifts another's numbers."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed from a base seed and whatever names the purpose; the same on every machine."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, *purpose: object) -> torch.Generator:
    """A CPU random stream of its own."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))
