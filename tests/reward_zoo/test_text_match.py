"""Vectors computed by hand for the target `Hello World` (ten letters)."""

import pytest

from reward_zoo.prompts import quoted_text
from reward_zoo.text_match import MODES

VECTORS = [
    # read, flow_grpo, ned, exact, iou
    ("Hello World", 1.0, 1.0, 1, 1.0),
    ("Hello", 0.5, 0.5, 0, 0.5),
    ("Helo World", 0.9, 0.9, 0, 0.9),
    ("WORLD HELLO", 0.2, 0.2, 0, 1.0),
    ("Hello World Hello World", 1.0, 0.5, 0, 0.5),
    ("xqzHello Worldjkw", 1.0, 0.625, 0, 0.625),
    ("", 0.0, 0.0, 0, 0.0),
    ("completely different text", 0.0, 0.130, 0, 0.222),
]


@pytest.mark.parametrize(("read", "flow_grpo", "ned", "exact", "iou"), VECTORS)
def test_the_four_formulas(read, flow_grpo, ned, exact, iou):
    want = {"flow_grpo": flow_grpo, "ned": ned, "exact": exact, "iou": iou}
    assert {mode: formula(read, "Hello World") for mode, formula in MODES.items()} == pytest.approx(want, abs=1e-3)


def test_full_width_letters_count_as_letters():
    assert MODES["exact"]("ＬＡＭＰ", "lamp") == 1


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ('a sign that says "OPEN" in white', "OPEN"),
        ("a sign that says “OPEN” in white", "OPEN"),
        ("a sign that says 'OPEN' in white", "OPEN"),
        ("the dog's house says ‘OPEN’", "OPEN"),
        ("the dog's house", None),
        ('""', None),
    ],
)
def test_quoted_text(prompt, text):
    assert quoted_text(prompt) == text
