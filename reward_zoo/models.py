"""What every reward with a neural network does with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


def frozen(model: nn.Module) -> nn.Module:
    """Evaluation mode, float32, no gradient to the weights (the pixels still get theirs)."""
    return model.float().eval().requires_grad_(False)


def tokenise(tokenizer: Any, texts: Sequence[str], limit: int) -> tuple[Any, torch.Tensor]:  # noqa: ANN401
    """Tokens of each text, padded and cut at `limit`, and which texts were cut: (B,) 1.0 or 0.0.

    The second belongs into a reward's components as `prompt_truncated`: a cut prompt is never silent.
    """
    import torch

    lengths = [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, max_length=limit, return_tensors="pt")
    return tokens, torch.tensor([float(length > limit) for length in lengths])
