"""What people get wrong, each with the error that says so, or an item marked invalid and the rest scored."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import (
    ImageError,
    MissingInputError,
    MissingWeightsError,
    RewardFailedError,
    SpecError,
    UnknownRewardError,
)

GREY = Image.new("RGB", (16, 16), (102, 102, 102))


def brightness(images):
    return reward_zoo.load("brightness")(images=images).values.tolist()


def png(image, **options):
    data = io.BytesIO()
    image.save(data, **{"format": "PNG", **options})
    return data.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
BAD_FILES = {
    "text named .png": (b"not a picture", "not a readable picture"),
    "truncated PNG": (png(NOISE)[:2000], "not a readable picture"),
    "truncated JPEG": (png(NOISE, format="JPEG")[:500], "not a readable picture"),
    "empty file": (b"", "not a readable picture"),
    "floats": (png(Image.fromarray(np.ones((8, 8), np.float32)), format="TIFF"), "mode F"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_are_no_pictures(tmp_path, kind):
    data, message = BAD_FILES[kind]
    (tmp_path / "picture.png").write_bytes(data)
    with pytest.raises(ImageError, match=rf"picture\.png: .*{message}"):
        brightness(tmp_path / "picture.png")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    (tmp_path / "huge.png").write_bytes(png(NOISE))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"huge\.png: not a readable picture .*exceeds limit"):
        brightness(tmp_path / "huge.png")


def deep(value):
    return Image.fromarray(np.full((16, 16), value, np.uint16))


def rotated():
    image = Image.new("RGB", (20, 10), "white")
    image.paste("black", (0, 0, 10, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    return png(image, exif=exif)


ODD_PICTURES = {  # what it should look like: (mean brightness, height, width)
    "transparent": (png(Image.new("RGBA", (16, 16), (0, 0, 0, 0))), (1.0, 16, 16)),
    "half transparent": (png(Image.new("RGBA", (16, 16), (0, 0, 0, 128))), (1 - 128 / 255, 16, 16)),
    "transparent palette": (png(Image.new("P", (16, 16), 0), transparency=0), (1.0, 16, 16)),
    "grey with alpha": (png(Image.new("LA", (16, 16), (0, 255))), (0.0, 16, 16)),
    "16-bit grey": (png(deep(26214)), (0.4, 16, 16)),
    "grey": (png(Image.new("L", (16, 16), 102)), (0.4, 16, 16)),
    "one bit": (png(Image.new("1", (16, 16), 1)), (1.0, 16, 16)),
    "palette": (png(GREY.convert("P")), (0.4, 16, 16)),
    "CMYK JPEG": (png(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), format="JPEG"), (1.0, 16, 16)),
    "turned by EXIF": (rotated(), (0.5, 20, 10)),
}


@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_pictures_of_other_modes_look_as_they_should(tmp_path, kind):
    data, (want, height, width) = ODD_PICTURES[kind]
    (tmp_path / "picture.png").write_bytes(data)
    assert brightness(tmp_path / "picture.png")[0] == pytest.approx(want, abs=0.01)
    pixels = reward_zoo.images.as_images(tmp_path / "picture.png")
    assert pixels.shape == (1, 3, height, width)
    if kind != "turned by EXIF":  # a PIL image is taken as it stands
        assert torch.equal(reward_zoo.images.as_images(Image.open(io.BytesIO(data))), pixels)


BAD_IMAGES = {
    "None": (None, "NoneType is not an image"),
    "a number": (3, "int is not an image"),
    "a dict": ({"image": 1}, "dict is not an image"),
    "an empty list": ([], "the list is empty"),
    "a list with None": ([GREY, None], "NoneType is not an image"),
    "several sizes": ([GREY, GREY.resize((8, 8))], "several sizes"),
    "0 to 255 floats": (torch.full((1, 3, 8, 8), 200.0), "values run from 200 to 200"),
    "-1 to 1": (torch.full((1, 3, 8, 8), -1.0), "values run from -1 to -1"),
    "NaN pixels": (torch.full((1, 3, 8, 8), float("nan")), "values run from nan"),
    "infinite pixels": (torch.full((1, 3, 8, 8), float("inf")), "values run from inf"),
    "channels last": (torch.rand(2, 8, 8, 3), "not B×3×H×W"),
    "four channels": (torch.rand(2, 4, 8, 8), "not B×3×H×W"),
    "an empty batch": (torch.zeros(0, 3, 8, 8), "not B×3×H×W"),
    "no height": (torch.zeros(1, 3, 0, 8), "not B×3×H×W"),
    "a uint8 tensor": (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "ambiguous"),
    "a float array": (np.zeros((8, 8, 3)), "ambiguous"),
    "a grey array": (np.zeros((8, 8), np.uint8), "not B×H×W×3"),
    "a missing file": ("no/such.png", "no such file"),
    "a folder": (".", "not a readable picture"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_images_that_are_none(kind):
    images, message = BAD_IMAGES[kind]
    with pytest.raises(ImageError, match=message):
        brightness(images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_float_types_are_taken(dtype):
    assert brightness(torch.full((2, 3, 8, 8), 0.5, dtype=dtype)) == pytest.approx([0.5, 0.5])


NOT_ALONE = ("composite", "callable", "isolated", "normalized", "remote", "surrogate", "timm", "pyiqa", "torchmetrics")
OFFLINE = [card for card in reward_zoo.list_rewards() if card.offline and not card.requires and card.name not in NOT_ALONE]
PLAIN = [card.name for card in OFFLINE if set(card.needs) <= {"target"}]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
@pytest.mark.parametrize("name", PLAIN)
def test_the_smallest_and_the_thinnest_pictures_score_or_are_marked(name, size):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    reward = reward_zoo.load(name)
    valid = reward(images=images, **({"prompts": 'a red sign "A"'} if reward.card.needs else {})).valid
    assert valid.all() or (reward.card.image_size.startswith("at least") and not valid.any())


BAD_TEXTS = {
    "None among them": ({"prompts": ['"A"', None]}, "prompts: number 1 is None"),
    "a number": ({"prompts": 7}, r"prompts: 7 \(int\)"),
    "a number among them": ({"targets": ["A", 7]}, "targets: number 1 is 7"),
    "too few": ({"prompts": ["a"] * 3}, "3 given for 2 images"),
    "an empty list": ({"prompts": []}, "0 given for 2 images"),
    "an empty prompt": ({"prompts": ""}, "quotes no text"),
    "a prompt without quotes": ({"prompts": "a sign"}, "quotes no text"),
    "a blank target": ({"targets": ["A", " "]}, "target number 1 is ' '"),
    "a blank quote": ({"prompts": 'a sign " "'}, "quotes no text"),
    "nothing at all": ({}, "ocr: needs targets"),
}


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_texts_that_are_none(kind):
    given, message = BAD_TEXTS[kind]
    with pytest.raises(MissingInputError, match=message):
        reward_zoo.load("ocr")(images=[GREY, GREY], **given)


def test_wrong_counts_of_metadata_and_references(tmp_path):
    with pytest.raises(MissingInputError, match="metadata: 1 given for 2 images"):
        reward_zoo.load("brightness")(images=[GREY, GREY], metadata=[{}])
    with pytest.raises(MissingInputError, match="references: 3 given for 2 images"):
        reward_zoo.load("brightness")(images=[GREY, GREY], references=[GREY] * 3)


@pytest.mark.parametrize("word", ["A" * 10_000, "Ünïcödé", "汉字", "שלום", "🙂", "a\nb", "\u202eabc"])
def test_any_text_is_a_target(word):
    scores = reward_zoo.load("ocr")(images=GREY, targets=word)
    assert scores.values.tolist() == [0.0]


BAD_SPECS = {
    "": "not a spec",
    "ocr:": "after ':' comes option=value",
    "ocr:engine": "option 'engine' is not name=value",
    "ocr:engine=": "engine='' is not known",
    "ocr:=easyocr": "is not name=value",
    "ocr;easyocr": "not a spec",
    "ocr mode=exact": "not a spec",
    "ocr:mode=nede": "is not one of ned, exact",
    "ocr:modus=ned": "no option 'modus'; did you mean 'mode'",
    "brightness:target=light": "is not a number",
    "0.5*": "a member is missing",
    "x*ocr+brightness": "weight 'x' is not a number",
    "min()": "a member is missing",
    "ocr+brightness+": "a member is missing",
    "composite": "is written by its members",
    "no/such.py:f": "no such file",
    "no_such_module.sub:f": "importing it raised ModuleNotFoundError",
}


@pytest.mark.parametrize("spec", BAD_SPECS)
def test_specs_that_are_none(spec):
    with pytest.raises(SpecError, match=BAD_SPECS[spec]):
        reward_zoo.load(spec)


def test_unknown_names_and_missing_weights(monkeypatch):
    with pytest.raises(UnknownRewardError, match="did you mean 'aesthetic'"):
        reward_zoo.load("aestetic")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError, match=r"pickscore: .* put them at \$LASRO_WEIGHTS/"):
        reward_zoo.load("pickscore")
    with pytest.raises(MissingWeightsError, match="no model folder there"):
        reward_zoo.load("clip_score:weights=no/such/folder")


def answering(answer):
    return reward_zoo.registry.reward_factory(lambda images: answer(images), name="own")()


BAD_ANSWERS = {
    "it raises": (lambda images: 1 / 0, "raised ZeroDivisionError"),
    "None": (lambda images: None, "returned NoneType"),
    "a number for all": (lambda images: 0.5, r"shape \(\) scores for 3 images"),
    "too few": (lambda images: [0.5, 0.5], "returned 2 scores for 3 images"),
    "a matrix": (lambda images: torch.zeros(3, 2), r"shape \(3, 2\)"),
    "a ragged list": (lambda images: [[1], [1, 2], [3]], "returned list"),
    "texts": (lambda images: ["good", "bad", "good"], "returned list"),
    "one text": (lambda images: "good", "returned str"),
    "a dict": (lambda images: {"score": 1}, "returned dict"),
    "a tensor without data": (lambda images: torch.zeros(3, device="meta"), "returned Tensor"),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_answers_that_are_no_scores(kind, images):
    answer, message = BAD_ANSWERS[kind]
    with pytest.raises(RewardFailedError, match=f"own: .*{message}"):
        answering(answer)(images=images[:3])


GOOD_ANSWERS = {
    "a list": lambda images: [0.25, 0.5, 1.0],
    "a list of tensors": lambda images: list(torch.tensor([0.25, 0.5, 1.0])),
    "a nested list": lambda images: [[0.25], [0.5], [1.0]],
    "an array": lambda images: np.array([0.25, 0.5, 1.0]),
    "float64": lambda images: torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64),
    "with a gradient": lambda images: torch.tensor([0.25, 0.5, 1.0], requires_grad=True) * 1,
}


@pytest.mark.parametrize("kind", GOOD_ANSWERS)
def test_answers_of_other_kinds_are_taken(kind, images):
    values = answering(GOOD_ANSWERS[kind])(images=images[:3]).values
    assert values.dtype == torch.float32
    assert values.numpy().tolist() == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), float("-inf")])
def test_a_failed_item_is_marked_and_the_rest_stands(lost, images):
    scores = answering(lambda images: [0.25, lost, 1.0])(images=images[:3])
    assert scores.valid.tolist() == [True, False, True]
    assert scores.values[[0, 2]].tolist() == [0.25, 1.0]


def test_a_function_cannot_harm_the_callers_images(images):
    before = images.clone()
    answering(lambda images: images.mul_(0).sum((1, 2, 3)))(images=images)
    assert torch.equal(images, before)
