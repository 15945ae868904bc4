"""The errors people meet, as a tree. Each message names the value at fault and the remedy.

LasroError                  base of everything lasro raises on purpose; the CLI prints it as one line, exit code 2
├── RewardError             anything about rewards
│   ├── UnknownRewardError  no reward of that name
│   ├── SpecError           the text of a reward spec, or an option in it, is wrong
│   ├── ImageError          the images are not what rewards take
│   ├── MissingInputError   a prompt, target or metadata the reward needs is not there
│   ├── NotDifferentiableError  a gradient was asked of a reward that has none
│   ├── MissingWeightsError a package or weight file the reward needs is not on this machine
│   ├── RewardFailedError   the reward raised, or returned something that is not one number an image
│   │   └── NoAnswerError   no server that serves the reward answers
│   ├── ProtocolError       a server or client does not speak lasro's protocol
│   ├── ServingError        a reward server cannot be started as asked
│   └── BuildError          a reward's own environment cannot be built
├── TableError              a table of pictures or prompts cannot be read, or lacks a column
├── CacheError              the score cache cannot be read or written
└── (surrogate/errors.py and finetune/errors.py add their own branches)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LasroError(Exception):
    """Base of every error lasro raises on purpose."""


class RewardError(LasroError):
    """Anything about rewards."""


class UnknownRewardError(RewardError):
    """No reward of that name is registered."""


class SpecError(RewardError):
    """The text of a reward spec, or an option in it, is wrong."""


class ImageError(RewardError):
    """The images are not what rewards take."""


class MissingInputError(RewardError):
    """A prompt, target or metadata the reward needs is not there."""


class NotDifferentiableError(RewardError):
    """A gradient was asked of a reward that has none."""


class MissingWeightsError(RewardError):
    """A package or weight file the reward needs is not on this machine."""


class RewardFailedError(RewardError):
    """The reward raised, or returned something that is not one number an image."""


class NoAnswerError(RewardFailedError):
    """No server that serves the reward answers."""


class ProtocolError(RewardError):
    """A server or client does not speak lasro's protocol, or another version of it."""


class ServingError(RewardError):
    """A reward server cannot be started as asked."""


class BuildError(RewardError):
    """A reward's own environment cannot be built."""


class TableError(LasroError):
    """A table cannot be read, or lacks a column."""


class CacheError(LasroError):
    """The score cache cannot be used."""


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line; its type where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, or with all of them.

    >>> did_you_mean("orc", ["ocr", "symmetry"])
    "did you mean 'ocr'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(names)
