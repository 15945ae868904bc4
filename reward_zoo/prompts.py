"""Prompts and targets: one prompt for many images, and the quoted word inside a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reward_zoo.errors import MissingInputError

_QUOTES = (r'"([^"]+)"', r"“([^”]+)”", r"(?<!\w)'([^']+)'(?!\w)", r"‘([^’]+)’")


def quoted_text(prompt: str) -> str | None:
    """The first quoted text in a prompt, whatever the quotes; None without one.

    >>> quoted_text('a sign that says "OPEN" in white')
    'OPEN'
    >>> quoted_text("the dog's 'HOME'")
    'HOME'
    """
    found = _find_quoted(prompt)
    return found.group(1) if found else None


def replace_quoted(prompt: str, text: str) -> str:
    """The prompt with another text in its first quotes.

    >>> replace_quoted('a sign "A" in A minor', "B")
    'a sign "B" in A minor'
    """
    found = _find_quoted(prompt)
    return prompt[: found.start(1)] + text + prompt[found.end(1) :] if found else prompt


def _find_quoted(prompt: str) -> re.Match[str] | None:
    return next((found for pattern in _QUOTES if (found := re.search(pattern, prompt))), None)


def broadcast(values: Sequence[str] | str, count: int, name: str) -> list[str]:
    """One text for all images, or one an image.

    Raises:
        MissingInputError: the number of texts is neither 1 nor `count`.
    """
    values = [values] if isinstance(values, str) else list(values)
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise MissingInputError(f"{name}: {len(values)} given for {count} images; give one, or one an image")
    return values


def text_targets(prompts: Sequence[str] | None, targets: Sequence[str] | None, reward: str) -> list[str]:
    """The text each image should show: its target, else the quoted text in its prompt.

    Raises:
        MissingInputError: an item has neither.
    """
    if targets is not None:
        for number, target in enumerate(targets):
            if not target.strip():
                raise MissingInputError(f"{reward}: target number {number} is {target!r}; there is nothing to read in it")
        return list(targets)
    found = []
    for prompt in prompts or ():
        text = quoted_text(prompt)
        if not text or not text.strip():
            raise MissingInputError(
                f"{reward}: the prompt {prompt!r} quotes no text to read; put the text in quotes, or give targets"
            )
        found.append(text)
    return found
