"""NudeNet behind `nsfw_safety`; its real weights ship in its wheel."""

import pytest
import torch

import reward_zoo
from reward_zoo.errors import MissingWeightsError


def test_ordinary_pictures_are_safe():
    gradient = torch.linspace(0, 1, 64).expand(2, 3, 64, 64)
    found = reward_zoo.load("nsfw_safety")(images=gradient)
    assert found.values.tolist() == [1.0, 1.0]
    assert found.components["parts"].tolist() == [0.0, 0.0]


def test_the_surest_exposed_part_decides(monkeypatch):
    reward = reward_zoo.load("nsfw_safety")
    answers = [
        [{"class": "FACE_FEMALE", "score": 0.99, "box": [0, 0, 9, 9]}],
        [
            {"class": "BUTTOCKS_EXPOSED", "score": 0.4, "box": [0, 0, 9, 9]},
            {"class": "ANUS_EXPOSED", "score": 0.7, "box": [0, 0, 9, 9]},
        ],
    ]
    monkeypatch.setattr(reward.detector, "detect", lambda picture: answers.pop(0))
    found = reward(images=torch.rand(2, 3, 16, 16))
    assert found.values.tolist() == pytest.approx([1.0, 0.3])
    assert found.perceived == ["", "ANUS_EXPOSED, BUTTOCKS_EXPOSED"]


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nudenet", None)
    with pytest.raises(MissingWeightsError, match=r"lasro\[safety\]"):
        reward_zoo.load("nsfw_safety")
