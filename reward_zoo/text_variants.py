"""Other texts a picture could have been asked for: near the wanted one or near what was read."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence

ALPHABETS = (string.ascii_uppercase, string.ascii_lowercase, string.digits)
A_FEW = 4


def another_text(target: str, perceived: str, rng: random.Random) -> str:
    """A text that differs from `target`: the perceived one, a few letters changed in either, or a mixture of both.

    A letter is exchanged for one of its kind (capital, small, digit), so that only the spelling changes.
    """
    read = _as(perceived, target)
    text = read if read and rng.random() < 0.5 else target
    if text == target or rng.random() < 0.5:
        text = _misspell(text, rng)
    if len(read) == len(text) and rng.random() < 0.3:
        text = "".join(rng.choice(pair) for pair in zip(text, read, strict=True))
    return text


def another_prompt(
    prompt: str, others: Sequence[str], rng: random.Random, score: Callable[[str], float | None]
) -> tuple[str, float] | None:
    """One of `others` that differs from `prompt`, with its score: any, or half the time the best of a few.

    The best of a few is nearer to what the picture shows. None where there is no other, or none has a score.
    """
    drawn = rng.choices(others, k=A_FEW if rng.random() < 0.5 else 1) if others else []
    scored = [(other, score(other)) for other in dict.fromkeys(drawn) if other != prompt]
    return max((item for item in scored if item[1] is not None), key=lambda item: item[1], default=None)


def _as(perceived: str, target: str) -> str:
    """What was read, in the target's case; empty where it does not fit in the target's place (a prompt has its limit)."""
    ascii_only = target.isascii()  # engines misread letters as those of other scripts, which prompts never ask for
    kept = (letter for letter in perceived if letter.isalnum() or letter == " ")
    text = "".join(letter for letter in kept if letter.isascii() or not ascii_only).strip()
    text = text.upper() if target.isupper() else text
    return text if 0.5 * len(target) <= len(text) <= len(target) else ""


def _misspell(text: str, rng: random.Random) -> str:
    letters = list(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(letters))
        alphabet = next((kind for kind in ALPHABETS if letters[place] in kind), None)
        if alphabet:
            letters[place] = rng.choice(alphabet)
    return "".join(letters)
