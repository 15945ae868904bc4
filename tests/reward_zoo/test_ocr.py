"""OCR on rendered words, with the real engines and their real weights."""

import importlib.util
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

import reward_zoo
from benchmarks.rewards import word_pictures
from reward_zoo.errors import MissingInputError, MissingWeightsError, RewardFailedError, SpecError
from reward_zoo.rewards.ocr_engines import covered

WORDS = ["OPEN", "CAFE", "STOP", "MARKET", "HOTEL", "PARK"]


def render(word, *, height=32, width=128, size=22):
    image = Image.new("RGB", (width, height), (30, 70, 170))
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(word)
    place = ((width - right - left) // 2, (height - bottom - top) // 2)
    ImageDraw.Draw(image).text(place, word, font=font, fill="white", stroke_width=1, stroke_fill="white")
    return image


@pytest.fixture(scope="module")
def ocr():
    return reward_zoo.load("ocr")


def test_rapidocr_reads_small_signs(ocr):
    scores = ocr(images=[render(word) for word in WORDS], targets=WORDS)
    assert scores.values.mean() > 0.95, scores.perceived


def test_the_wrong_word_scores_low_and_a_near_one_between(ocr):
    picture = render("OPEN")
    right, near, wrong = (ocr(images=picture, targets=[text]).values.item() for text in ("OPEN", "OVEN", "SALE"))
    assert right == 1.0
    assert near == 0.75
    assert wrong <= 0.25


def test_rapidocr_finds_text_in_a_large_picture(ocr):
    picture = Image.new("RGB", (512, 512), (90, 120, 90))
    picture.paste(render("MARKET", height=96, width=400, size=64), (60, 200))
    assert ocr(images=picture, targets=["MARKET"]).values.item() == 1.0


EASYOCR = pytest.mark.skipif(
    importlib.util.find_spec("easyocr_en_models") is None, reason="EasyOCR's weights are not installed"
)


@pytest.mark.parametrize("engine", ["rapidocr", pytest.param("easyocr", marks=EASYOCR)])
def test_words_of_many_fonts_sizes_colours_and_rotations(engine):
    """A dozen of them; `python -m benchmarks.rewards` reports on 48 and on speed."""
    pictures, words = word_pictures(12)
    reward = reward_zoo.load(f"ocr:engine={engine}")
    whole = reward(images=pictures, targets=words)
    assert whole.values.mean() > 0.95, whole.perceived
    assert torch.equal(whole.values[3:4], reward(images=pictures[3], targets=words[3]).values)


@EASYOCR
def test_easyocr_reads_small_signs():
    scores = reward_zoo.load("ocr:engine=easyocr")(images=[render(word) for word in WORDS], targets=WORDS)
    assert scores.values.mean() > 0.9, scores.perceived


def test_the_mode_chooses_the_formula_and_all_are_logged():
    picture = render("OPEN")
    scores = reward_zoo.load("ocr:mode=exact")(images=picture, targets=["OVEN"])
    assert scores.values.item() == 0.0
    assert scores.components["ned"].item() == 0.75


def test_nothing_to_read_scores_zero(ocr):
    assert ocr(images=torch.full((1, 3, 32, 128), 0.5), targets=["OPEN"]).values.item() == 0.0


def test_a_prompt_without_quotes_is_a_named_error(ocr):
    with pytest.raises(MissingInputError, match="quotes no text"):
        ocr(images=np.zeros((1, 32, 64, 3), np.uint8), prompts=["a sign"])


def test_missing_weights_say_where_to_put_them(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"craft_mlt_25k\.pth is missing"):
        reward_zoo.load(f"ocr:engine=easyocr,weights={tmp_path}")


def test_an_unknown_option_lists_the_valid_ones():
    with pytest.raises(SpecError, match=r"did you mean 'engine'\? \(options: engine, mode, weights\)"):
        reward_zoo.load("ocr:engin=easyocr")


TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="the program tesseract is not installed")


@TESSERACT
def test_tesseract_reads_small_and_large_pictures():
    reward = reward_zoo.load("ocr:engine=tesseract")
    small = reward(images=[render(word) for word in WORDS], targets=WORDS)
    assert small.values.mean() > 0.9, small.perceived
    large = Image.new("RGB", (512, 512), (90, 120, 90))
    large.paste(render("MARKET", height=96, width=400, size=64), (60, 200))
    assert reward(images=large, targets=["MARKET"]).values.item() == 1.0


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingWeightsError, match="apt install tesseract-ocr"):
        reward_zoo.load("ocr:engine=tesseract")


def test_an_engine_of_the_users_own(tmp_path):
    (tmp_path / "read.py").write_text(
        "def read(pictures):\n    assert pictures.dtype == 'uint8'\n    return ['OPEN'] * len(pictures)\n"
        "def lost(pictures):\n    return []\n"
    )
    reward = reward_zoo.load(f"ocr:engine={tmp_path / 'read.py'}:read,mode=exact")
    found = reward(images=[render("OPEN")] * 2, targets=["OPEN", "CAFE"])
    assert found.values.tolist() == [1.0, 0.0]
    with pytest.raises(RewardFailedError, match="returned 0 texts for 1 images"):
        reward_zoo.load(f"ocr:engine={tmp_path / 'read.py'}:lost")(images=render("OPEN"), targets="OPEN")
    with pytest.raises(SpecError, match="engine='rapidocrr' is not known; did you mean 'rapidocr'"):
        reward_zoo.load("ocr:engine=rapidocrr")


def test_confidence_and_freedom_from_text():
    plain = Image.new("RGB", (128, 32), (30, 70, 170))
    pictures = [plain, render("OPEN"), render("MARKET")]
    confidence, free = (reward_zoo.load(name)(images=pictures) for name in ("ocr_confidence", "text_free"))
    assert confidence.values[0] == 0
    assert free.values[0] == 1
    assert 0 < confidence.values[1] < confidence.values[2]  # the longer word covers more
    assert 1 > free.values[1] > free.values[2]
    assert free.perceived == ["", "OPEN", "MARKET"]


def test_the_area_of_large_pictures_is_that_of_the_lines():
    picture = Image.new("RGB", (512, 512), (90, 120, 90))
    assert reward_zoo.load("text_free")(images=picture).values.item() == 1.0
    picture.paste(render("MARKET", height=96, width=400, size=64), (60, 200))
    area = reward_zoo.load("text_free")(images=picture).components["area"].item()
    assert 0.03 < area < 96 * 400 / 512**2


def test_overlapping_boxes_count_once():
    assert covered([[(0, 0), (5, 10)], [(0, 0), (5, 10)]], (10, 10)) == 0.5
    assert covered([[(-5, -5), (5, 5)], [(8, 8), (20, 20)]], (10, 10)) == pytest.approx(0.29)
    assert covered([], (10, 10)) == 0.0
