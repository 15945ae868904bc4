"""The signs that `tiny-signs` learns: words, prompts and the pictures that go with them.

A picture is 32×128 RGB: a sign of one colour with a word of 3-6 capital letters, each letter centred in a cell of a
regular grid. Typeface, size, position, light and slant of the light vary and are *not* in the prompt: they are what a
generator has to make up, and what makes two sampling steps harder than many.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH, CELL = 32, 128, 20
TYPEFACES = ("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold")
SIGN_COLORS = {
    "red": (196, 36, 44),
    "blue": (32, 74, 178),
    "green": (22, 122, 62),
    "purple": (112, 44, 148),
    "black": (28, 28, 32),
    "white": (238, 238, 232),
    "yellow": (246, 208, 56),
    "orange": (232, 120, 24),
}
LETTER_COLORS = {"white": (250, 250, 248), "black": (16, 16, 20), "yellow": (255, 228, 84)}
PAIRS = [
    *[(sign, letter) for sign in ("red", "blue", "green", "purple", "black") for letter in ("white", "yellow")],
    *[(sign, "black") for sign in ("white", "yellow", "orange")],
]
WORDINGS = (
    'a {sign} sign that says "{word}" in {letter}',
    'a {sign} sign with the word "{word}" in {letter} letters',
    '"{word}" in {letter} on a {sign} sign',
    'a {sign} board reading "{word}" in {letter}',
    'the word "{word}" painted in {letter} on a {sign} board',
)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def english_words() -> list[str]:
    """The real words, sorted."""
    return sorted(set((Path(__file__).parent / "words.txt").read_text().split()))


def random_word(rng: random.Random) -> str:
    """3-6 random capitals."""
    return "".join(rng.choices(ALPHABET, k=rng.randint(3, 6)))


def make_prompt(word: str, rng: random.Random) -> tuple[str, str, str]:
    """A prompt for `word` with the colours it names: (prompt, sign colour, letter colour)."""
    sign, letter = rng.choice(PAIRS)
    return rng.choice(WORDINGS).format(sign=sign, word=word, letter=letter), sign, letter


@cache
def _font(typeface: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{typeface}.ttf"
    return ImageFont.truetype(str(path), size)


@cache
def _glyph(letter: str, typeface: str, size: int) -> tuple[np.ndarray, int]:
    """Coverage of one letter at twice the final resolution, and its width; squeezed to its cell when wider."""
    font = _font(typeface, size * 2)
    left, _, right, _ = font.getbbox(letter)
    image = Image.new("L", (right - left + 2, 2 * HEIGHT), 0)
    cap = font.getbbox("H")
    top = HEIGHT - (cap[1] + cap[3]) // 2
    ImageDraw.Draw(image).text((1 - left, top), letter, font=font, fill=255)
    limit = 2 * (CELL - 1)
    if image.width > limit:
        image = image.resize((limit, image.height), Image.Resampling.LANCZOS)
    return np.asarray(image), image.width


def paint(word: str, sign: str, letter: str, rng: random.Random) -> np.ndarray:
    """Paint one sign: uint8 array 32×128×3."""
    typeface, size = rng.choice(TYPEFACES), rng.randint(20, 25)
    shift_x, shift_y = rng.randint(-6, 6), rng.randint(-6, 6)  # half pixels
    coverage = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
    start = WIDTH - len(word) * CELL + shift_x
    for index, char in enumerate(word):
        glyph, width = _glyph(char, typeface, size)
        x = start + index * 2 * CELL + CELL - width // 2
        rows = slice(max(0, shift_y), min(2 * HEIGHT, 2 * HEIGHT + shift_y))
        source = slice(max(0, -shift_y), min(2 * HEIGHT, 2 * HEIGHT - shift_y))
        coverage[rows, x : x + width] = np.maximum(coverage[rows, x : x + width], glyph[source])
    mask = coverage.reshape(HEIGHT, 2, WIDTH, 2).mean((1, 3))[..., None] / 255.0
    slope_x, slope_y, level = rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12), rng.uniform(0.88, 1.06)
    light = level + slope_x * np.linspace(-1, 1, WIDTH)[None, :] + slope_y * np.linspace(-1, 1, HEIGHT)[:, None]
    color = np.array(SIGN_COLORS[sign]) * (1 - mask) + np.array(LETTER_COLORS[letter]) * mask
    return np.clip(color * light[..., None], 0, 255).round().astype(np.uint8)
