"""How well a read text matches the wanted one: pure formulas on strings.

Texts are compared lower-case, without white space, and in Unicode NFKC form (engines answer full-width letters).
All four answer in [0, 1].

ned        1 − levenshtein / length of the longer text (the AnyText and ANLS benchmarks' edit score)
exact      1 when equal
flow_grpo  1 − min(d, n) / n with n the target's length, d = 0 when the target stands anywhere in the read text, as
           flow_grpo's ocr.py has it: repetition and garbage around the word cost nothing
iou        shared letters / all letters, as multisets: order does not count
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable

from rapidfuzz.distance import Levenshtein


def normalize(text: str) -> str:
    """NFKC, lower case, no white space.

    >>> normalize("Hello World")
    'helloworld'
    """
    return "".join(unicodedata.normalize("NFKC", text).split()).lower()


def ned(read: str, target: str) -> float:
    """1 − edit distance over the longer length.

    >>> ned("Helo World", "Hello World")
    0.9
    """
    read, target = normalize(read), normalize(target)
    longest = max(len(read), len(target))
    return 1.0 - Levenshtein.distance(read, target) / longest if longest else 1.0


def exact(read: str, target: str) -> float:
    """1 when the texts are equal, else 0."""
    return float(normalize(read) == normalize(target))


def flow_grpo(read: str, target: str) -> float:
    """The field's canonical OCR reward, substring rule and all.

    >>> flow_grpo("xqzHello Worldjkw", "Hello World")
    1.0
    """
    read, target = normalize(read), normalize(target)
    if not target:
        return float(not read)
    distance = 0 if target in read else Levenshtein.distance(read, target)
    return 1.0 - min(distance, len(target)) / len(target)


def iou(read: str, target: str) -> float:
    """Intersection over union of the letters.

    >>> iou("WORLD HELLO", "Hello World")
    1.0
    """
    have, want = Counter(normalize(read)), Counter(normalize(target))
    union = (have | want).total()
    return (have & want).total() / union if union else 1.0


MODES: dict[str, Callable[[str, str], float]] = {"ned": ned, "exact": exact, "flow_grpo": flow_grpo, "iou": iou}
