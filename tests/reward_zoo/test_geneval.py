"""GenEval's clauses case by case, and the reward around them."""

import json
from dataclasses import replace

import pytest
import torch

import reward_zoo
from reward_zoo.clauses import Detection, dense_score, relations, strict_score
from reward_zoo.errors import MissingInputError, SpecError
from tests.tiny.rewards import build_detector

LEFT, RIGHT = (0, 40, 20, 60), (80, 40, 100, 60)
ABOVE, BELOW = (40, 0, 60, 20), (40, 80, 60, 100)


def dog(box=LEFT, score=0.9):
    return Detection("dog", score, box)


def car(box=RIGHT, score=0.9):
    return Detection("car", score, box)


def include(*clauses, exclude=()):
    return {"include": list(clauses), "exclude": list(exclude)}


DOG, CAR = {"class": "dog", "count": 1}, {"class": "car", "count": 1}
DOG_LEFT = {**DOG, "position": ["left of", 1]}
RED_DOG = {**DOG, "color": "red"}


@pytest.mark.parametrize(
    ("record", "found", "color", "strict", "dense"),
    [
        (include(DOG), [dog()], "red", 1.0, 1.0),
        (include(DOG), [], "red", 0.0, 0.0),
        (include(DOG), [car()], "red", 0.0, 0.0),
        (include(DOG), [dog(), dog(RIGHT)], "red", 0.0, 0.0),  # one too many
        (include({"class": "dog", "count": 3}), [dog(), dog(RIGHT)], "red", 0.0, 2 / 3),
        (include({"class": "dog", "count": 1}), [dog()] * 4, "red", 0.0, -2.0),  # the dense form may fall below 0
        (include(DOG, CAR), [dog()], "red", 0.0, 0.5),
        (include(RED_DOG), [dog()], "red", 1.0, 1.0),
        (include(RED_DOG), [dog()], "blue", 0.0, 0.5),
        (include(RED_DOG), [], "red", 0.0, 0.0),  # count 0, and one 0 for the colour
        (include(DOG_LEFT, CAR), [dog(), car()], "red", 1.0, 1.0),
        (include(DOG_LEFT, CAR), [dog(RIGHT), car(LEFT)], "red", 0.0, 2 / 3),  # the reference adds a 1 here: 3/4
        (include(DOG_LEFT, CAR), [dog()], "red", 0.0, 1 / 3),  # nothing to be left of
        (include(DOG, exclude=[CAR]), [dog()], "red", 1.0, 1.0),
        (include(DOG, exclude=[CAR]), [dog(), car()], "red", 0.0, 1.0),  # exclude plays no part in the dense form
    ],
)
def test_clauses(record, found, color, strict, dense):
    found = [replace(item, color=color) for item in found]
    assert strict_score(record, found) == strict
    assert dense_score(record, found) == pytest.approx(dense)


@pytest.mark.parametrize(
    ("first", "second", "want"),
    [
        (LEFT, RIGHT, {"left of"}),
        (RIGHT, LEFT, {"right of"}),
        (ABOVE, BELOW, {"above"}),
        (BELOW, ABOVE, {"below"}),
        ((0, 0, 20, 20), (80, 80, 100, 100), {"left of", "above"}),
        (LEFT, LEFT, set()),
        ((40, 40, 60, 60), (42, 40, 62, 60), set()),  # nearer than a tenth of both sizes
    ],
)
def test_relations(first, second, want):
    assert relations(dog(first), car(second)) == want


def test_a_detector_of_the_users_own_and_its_colours(tmp_path):
    reward = reward_zoo.load(build_detector(tmp_path))
    images = torch.zeros(2, 3, 32, 32)
    images[0, 0] = 0.8  # a red picture, and dark: a dog
    images[1] = 0.9  # white and light: a cat
    record = {"include": [{"class": "dog", "count": 1, "color": "red"}]}
    found = reward(images=images, metadata=[record] * 2)
    assert found.values.tolist() == [1.0, 0.0]
    assert found.components["strict"].tolist() == [1.0, 0.0]
    assert json.loads(found.perceived[1])[0]["label"] == "cat"


def test_counting_asks_for_surer_boxes(tmp_path):
    (tmp_path / "d.py").write_text(
        "def detect(pictures):\n    return [[('dog', 0.5, (0, 0, 9, 9)), ('dog', 0.95, (9, 9, 20, 20))] for _ in pictures]\n"
    )
    reward = reward_zoo.load(f"geneval:detector={tmp_path / 'd.py'}:detect,mode=strict")
    images, record = torch.rand(1, 3, 32, 32), {"include": [{"class": "dog", "count": 1}]}
    assert reward(images=images, metadata=[record]).values.tolist() == [0.0]
    assert reward(images=images, metadata=[{**record, "tag": "counting"}]).values.tolist() == [1.0]


def test_detr_in_the_published_format(tmp_path):
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor, ResNetConfig

    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"])
    names = dict(enumerate(["cat", "dog", "car"]))
    config = DetrConfig(
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=6,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    torch.manual_seed(0)
    DetrForObjectDetection(config).save_pretrained(tmp_path)
    DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(tmp_path)
    reward = reward_zoo.load(f"geneval:weights={tmp_path},threshold=0.0")
    found = reward(images=torch.rand(2, 3, 40, 60), metadata=[{"include": [{"class": "cat", "count": 1}]}] * 2)
    assert found.components["objects"].tolist() == [6.0, 6.0]
    left, top, right, bottom = json.loads(found.perceived[0])[0]["box"]
    assert left < right
    assert top < bottom
    assert right - left <= 60 + 1  # boxes come in the image's own pixels


def test_mistakes_are_named(tmp_path, images):
    with pytest.raises(SpecError, match="detector='yolo' is not known"):
        reward_zoo.load("geneval:detector=yolo")
    reward = reward_zoo.load(build_detector(tmp_path))
    with pytest.raises(MissingInputError, match="has no 'include' list"):
        reward(images=images, metadata=[{}] * 4)
    with pytest.raises(MissingInputError, match="metadata: 1 given for 4"):
        reward(images=images, metadata=[{}])
