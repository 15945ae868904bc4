"""MPS's network on top of CLIP: image tokens look at those words of the prompt that speak of quality.

Source: "Learning Multi-dimensional Human Preference for Text-to-Image Generation" (Zhang et al., 2024), repository
Kwai-Kolors/MPS. Attention has one key and one value head for all query heads; layer norms have a weight only. The names of
the parts are those of the published checkpoints. Shapes: B images, N image tokens, T text tokens, D width, d head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class CrossModel(nn.Module):
    """Layers that each read the text, then mix the image tokens; every size is read off the weights.

    Args:
        state: the keys under `cross_model.`, e.g. `layers.0.0.fn.to_q.weight`.

    Raises:
        KeyError: a weight is missing.
        RuntimeError: the weights do not fit together.
    """

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        inner, width = state["layers.0.0.fn.to_q.weight"].shape
        head = state["layers.0.0.fn.to_kv.weight"].shape[0] // 2
        hidden = state["layers.0.0.fn.ff.2.weight"].shape[1]
        depth = 1 + max(int(key.split(".")[1]) for key in state)
        sizes = (width, inner // head, head, hidden)
        self.layers = nn.ModuleList(nn.ModuleList([Plus(ReadText(*sizes)), Plus(MixTokens(*sizes))]) for _ in range(depth))
        fixed = ("norm.bias", "rotary_emb.inv_freq")  # zeros, and a formula
        self.load_state_dict({key: value for key, value in state.items() if not key.endswith(fixed)})

    def forward(self, tokens: torch.Tensor, text: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """B×N×D image tokens, B×T×D text tokens, B×T true where a text token may be looked at → B×N×D."""
        for read_text, mix_tokens in self.layers:
            tokens = mix_tokens(read_text(tokens, text, visible))
        return tokens


class Plus(nn.Module):
    """x + fn(x)."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        """`rest` goes to `fn`."""
        return x + self.fn(x, *rest)


class Gated(nn.Module):
    """2h values → h: the first half times SiLU of the second (SwiGLU, Shazeer, 2020)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """…×2h → …×h."""
        value, gate = x.chunk(2, dim=-1)
        return value * F.silu(gate)


class ReadText(nn.Module):
    """Cross-attention from image tokens to visible text tokens, and beside it a gated feed-forward."""

    def __init__(self, width: int, heads: int, head: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, bias=False)
        self.to_q = nn.Linear(width, heads * head, bias=False)
        self.to_kv = nn.Linear(width, 2 * head, bias=False)
        self.to_out = nn.Linear(heads * head, width, bias=False)
        self.ff = nn.Sequential(nn.Linear(width, 2 * hidden, bias=False), Gated(), nn.Linear(hidden, width, bias=False))

    def forward(self, x: torch.Tensor, text: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """B×N×D, B×T×D, B×T → B×N×D."""
        x = self.norm(x)
        key, value = self.to_kv(text).chunk(2, dim=-1)
        found = attend(split_heads(self.to_q(x), self.heads), key, value, visible[:, None, None, :])
        return self.to_out(found) + self.ff(x)


class MixTokens(nn.Module):
    """Self-attention of the image tokens with rotary positions, and beside it a gated feed-forward, from one projection."""

    def __init__(self, width: int, heads: int, head: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.parts = heads, (heads * head, head, head, 2 * hidden)
        self.norm = nn.LayerNorm(width, bias=False)
        self.fused_attn_ff_proj = nn.Linear(width, sum(self.parts), bias=False)
        self.attn_out = nn.Linear(heads * head, width, bias=False)
        self.ff_out = nn.Sequential(Gated(), nn.Linear(hidden, width, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B×N×D → B×N×D."""
        query, key, value, ff = self.fused_attn_ff_proj(self.norm(x)).split(self.parts, dim=-1)
        found = attend(rotate(split_heads(query, self.heads)), rotate(key), value)
        return self.attn_out(found) + self.ff_out(ff)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """B×N×(h·d) → B×h×N×d."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor | None = None) -> torch.Tensor:
    """Queries B×h×N×d, one key and value head B×T×d for all of them → B×N×(h·d)."""
    key, value = (part[:, None].expand(-1, query.shape[1], -1, -1) for part in (key, value))
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    return found.transpose(1, 2).flatten(2)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al., 2021) on the last two axes, …×N×d; the halves of d are the two parts of each pair."""
    count, width = x.shape[-2:]
    steps = torch.arange(0, width, 2, device=x.device, dtype=torch.float32) / width
    angles = torch.arange(count, device=x.device, dtype=torch.float32)[:, None] * 10_000.0**-steps  # N×d/2
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
