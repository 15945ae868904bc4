"""How well and how fast the OCR engines read, and what scoring a batch at once, or never twice, saves.

python -m benchmarks.rewards                 # JSON on stdout
python -m benchmarks.rewards --pictures 24   # fewer of each

Pictures: words in several fonts, sizes, colours and rotations on 256×256, drawn from a seed.
"""

from __future__ import annotations

import argparse
import colorsys
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import reward_zoo
from reward_zoo.cache import ScoreCache, cached
from reward_zoo.errors import MissingWeightsError
from reward_zoo.images import as_images

ENGINES = ("rapidocr", "easyocr", "tesseract")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneralBol", "DejaVuSerif-BoldItalic")
SIZES = (20, 28, 36, 44)
ROTATIONS = (0, 0, 5, -5, 12, -12)
WORDS = """
OPEN CAFE STOP MARKET HOTEL PARK BAKERY Museum LIBRARY Station coffee Garden PIZZA Exit school HARBOUR Theatre
BRIDGE Summer winter RIVER Castle pharmacy TICKETS Music QUIET Fresh bread LEMON Orange BICYCLE Repair FLOWERS
Honey SALE Welcome PRIVATE Danger toilets CINEMA Books SAUNA Airport TAXI Police BANK Dentist hello
""".split()  # noqa: SIM905 - sixty quotes say less


def word_pictures(count: int, *, size: int = 256, seed: int = 0) -> tuple[list[Image.Image], list[str]]:
    """Pictures of one word each, and the words; dark on light or light on dark, contrast of luma at least 0.45."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    rng = random.Random(seed)  # noqa: S311 - pictures, not secrets
    pictures, words = [], [WORDS[number % len(WORDS)] for number in range(count)]
    for number, word in enumerate(words):
        font = ImageFont.truetype(fonts / f"{FONTS[number % len(FONTS)]}.ttf", SIZES[rng.randrange(len(SIZES))])
        ground, ink = _colours(rng)
        picture = Image.new("RGB", (size, size), ground)
        ImageDraw.Draw(picture).text((size / 2, size / 2), word, font=font, fill=ink, anchor="mm")
        pictures.append(picture.rotate(rng.choice(ROTATIONS), Image.BICUBIC, fillcolor=ground))
    return pictures, words


def _colours(rng: random.Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    while True:
        pair = [colorsys.hsv_to_rgb(rng.random(), rng.random(), rng.random()) for _ in range(2)]
        luma = [0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in pair]
        if abs(luma[0] - luma[1]) >= 0.45:
            ground, ink = (tuple(round(255 * part) for part in color) for color in pair)
            return ground, ink


def read_words(engine: str, pictures: Sequence[Image.Image], words: Sequence[str]) -> dict[str, object]:
    """An engine's mean scores over the pictures, its speed, and what it misread."""
    try:
        reward = reward_zoo.load(f"ocr:engine={engine}")
    except MissingWeightsError as error:
        return {"engine": engine, "missing": str(error)}
    reward(images=list(pictures[:2]), targets=list(words[:2]))  # loads what is loaded late
    began = time.perf_counter()
    scores = reward(images=list(pictures), targets=list(words))
    seconds = time.perf_counter() - began
    misread = [f"{word} → {text}" for word, text, ned in zip(words, scores.perceived, scores.values, strict=True) if ned < 1]
    means = {mode: round(scores.components[mode].mean().item(), 4) for mode in ("ned", "exact", "flow_grpo", "iou")}
    return {"engine": engine, **means, "pictures_per_second": round(len(words) / seconds, 2), "misread": misread}


def batching(pictures: Sequence[Image.Image], words: Sequence[str]) -> dict[str, object]:
    """Images a second of `ocr` in one call over those of a loop of calls, alternating, same engine."""
    reward = reward_zoo.load("ocr")
    reward(images=list(pictures[:2]), targets=list(words[:2]))
    seconds = {"loop": 0.0, "batch": 0.0}
    same = True
    for start in range(0, len(pictures), 16):
        some, wanted = list(pictures[start : start + 16]), list(words[start : start + 16])
        began = time.perf_counter()
        single = torch.cat([reward(images=picture, targets=[word]).values for picture, word in zip(some, wanted, strict=True)])
        between = time.perf_counter()
        whole = reward(images=some, targets=wanted).values
        seconds["loop"] += between - began
        seconds["batch"] += time.perf_counter() - between
        same = same and torch.equal(single, whole)
    return {"pictures": len(pictures), "ratio": round(seconds["loop"] / seconds["batch"], 2), "same_scores": same}


def remembering(count: int) -> dict[str, object]:
    """Seconds of a first scoring over those of a second one."""
    pictures, words = word_pictures(count, size=128, seed=2)
    images = as_images([picture.crop((0, 48, 128, 80)) for picture in pictures])
    with tempfile.TemporaryDirectory() as folder:
        cache, seconds, found = ScoreCache(Path(folder) / "scores.sqlite"), [], []
        for _ in range(2):
            reward = cached("ocr", cache)
            began = time.perf_counter()
            found.append(reward(images=images, targets=words))
            seconds.append(time.perf_counter() - began)
    same = torch.equal(found[0].values, found[1].values)
    return {"pictures": count, "ratio": round(seconds[0] / seconds[1], 1), "same_scores": same}


def main() -> None:
    """Print both tables as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--remembered", type=int, default=1000, help="pictures scored twice through the cache")
    arguments = parser.parse_args()
    pictures, words = word_pictures(arguments.pictures)
    lines = [picture.crop((0, 112, 256, 144)) for picture in word_pictures(arguments.pictures, seed=1)[0]]
    result = {
        "words": [read_words(engine, pictures, words) for engine in ENGINES],
        "batching": {"256x256": batching(pictures, words), "256x32 lines": batching(lines, words)},
        "cache": remembering(arguments.remembered),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
