"""What the recipe's training stages share: batches of signs, a cosine rate, and checkpoints that resume."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from recipes.tiny_signs import data


def held_out_words(work: Path) -> set[str]:
    """The words of `signs-test`; no stage ever trains on them."""
    return set((work / "test_words.txt").read_text().split())


def sample_sign(rng: random.Random, words: list[str], held_out: set[str], *, plain: bool = False) -> tuple[str, np.ndarray]:
    """One prompt and its picture; four in ten words are English, the rest random letters."""
    while True:
        word = rng.choice(words) if rng.random() < 0.4 else data.random_word(rng)
        if word not in held_out:
            break
    prompt, sign, letter = data.make_prompt(word, rng)
    return prompt, data.paint(word, sign, letter, rng, plain=plain)


def to_tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    """uint8 HWC pictures → float B×3×H×W in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def sign_batches(seed: int, batch_size: int, held_out: set[str]) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Endless batches of (prompts, pictures in [-1, 1])."""
    rng = random.Random(seed)
    words = [word for word in data.english_words() if word not in held_out]
    while True:
        prompts, pictures = zip(*(sample_sign(rng, words, held_out) for _ in range(batch_size)), strict=True)
        yield list(prompts), to_tensor(list(pictures))


def cosine(step: int, steps: int, warmup: int = 100) -> float:
    """Learning-rate factor: linear warm-up, then cosine to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def save_state(path: Path, **state: object) -> None:
    """Write a checkpoint so that a kill leaves the old one or the new one, never half of one."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_state(path: Path) -> dict | None:
    """The checkpoint at `path`, or None before the first."""
    return torch.load(path, weights_only=True) if path.exists() else None
