"""The signs that `tiny-signs` learns: words, prompts and the pictures that go with them.

A picture is 32×128 RGB: a sign of one colour with a word of 3-6 capital letters, set from the left as from a box of
mixed type: each letter has its own typeface, size, tilt and place near its cell. These and the light are *not* in the
prompt: they are what a generator has to make up, and what makes two sampling steps harder than many.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH, CELL, MARGIN = 32, 128, 20, 4
TYPEFACES = (
    "DejaVuSans-Bold",
    "DejaVuSerif-Bold",
    "DejaVuSansMono-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSerif-BoldItalic",
)
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
def _glyph(letter: str, typeface: str, size: int) -> Image.Image:
    """Coverage of one letter at twice the final resolution; squeezed to its cell when wider."""
    font = _font(typeface, size * 2)
    left, _, right, _ = font.getbbox(letter)
    image = Image.new("L", (right - left + 2, 2 * HEIGHT), 0)
    cap = font.getbbox("H")
    top = HEIGHT - (cap[1] + cap[3]) // 2
    ImageDraw.Draw(image).text((1 - left, top), letter, font=font, fill=255)
    limit = 2 * (CELL - 1)
    return image.resize((limit, image.height), Image.Resampling.LANCZOS) if image.width > limit else image


def _stamp(canvas: np.ndarray, glyph: Image.Image, center_x: int, center_y: int) -> None:
    """Press a glyph onto the coverage, its middle at the given point; what lies outside is cut off."""
    coverage = np.asarray(glyph)
    x, y = center_x - coverage.shape[1] // 2, center_y - coverage.shape[0] // 2
    top, bottom = max(0, y), min(canvas.shape[0], y + coverage.shape[0])
    left, right = max(0, x), min(canvas.shape[1], x + coverage.shape[1])
    seen = coverage[top - y : bottom - y, left - x : right - x]
    canvas[top:bottom, left:right] = np.maximum(canvas[top:bottom, left:right], seen)


def _letters(word: str, rng: random.Random, *, plain: bool) -> np.ndarray:
    """The word's coverage, 32×128 in [0, 1]: every letter has a typeface, size, tilt and place of its own."""
    coverage = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)  # half pixels
    shift_x, shift_y = (0, 0) if plain else (rng.randint(-4, 4), rng.randint(-4, 4))
    for index, char in enumerate(word):
        x, y = 2 * (MARGIN + index * CELL) + CELL, HEIGHT
        glyph = _glyph(char, TYPEFACES[0], 23)
        if not plain:
            glyph = _glyph(char, rng.choice(TYPEFACES), rng.randint(16, 25))
            glyph = glyph.rotate(rng.uniform(-18, 18), Image.Resampling.BILINEAR, expand=True)
            x, y = x + shift_x + rng.randint(-5, 5), y + shift_y + rng.randint(-11, 11)
        _stamp(coverage, glyph, x, y)
    return coverage.reshape(HEIGHT, 2, WIDTH, 2).mean((1, 3)) / 255.0


def paint(word: str, sign: str, letter: str, rng: random.Random, *, plain: bool = False) -> np.ndarray:
    """Paint one sign: uint8 array 32×128×3. A `plain` one follows from the prompt alone: nothing is left to chance."""
    mask = _letters(word, rng, plain=plain)[..., None]
    slope_x, slope_y, level = 0.0, 0.0, 1.0
    if not plain:
        slope_x, slope_y, level = rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12), rng.uniform(0.88, 1.06)
    light = level + slope_x * np.linspace(-1, 1, WIDTH)[None, :] + slope_y * np.linspace(-1, 1, HEIGHT)[:, None]
    color = np.array(SIGN_COLORS[sign]) * (1 - mask) + np.array(LETTER_COLORS[letter]) * mask
    return np.clip(color * light[..., None], 0, 255).round().astype(np.uint8)
