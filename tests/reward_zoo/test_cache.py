"""Scores are remembered exactly, by what they depend on, and by several processes at once."""

import subprocess
import sys
import time

import pytest
import torch

import reward_zoo
from reward_zoo import calibration
from reward_zoo.cache import ScoreCache, cached
from reward_zoo.errors import CacheError

COUNTED = """
import torch
calls = []

def light(images, prompts):
    calls.append(len(images))
    values = images.mean((1, 2, 3))
    return torch.where(values > 0.9, float("nan"), values)
"""


@pytest.fixture
def counted(tmp_path):
    (tmp_path / "own.py").write_text(COUNTED)
    reward = cached(f"{tmp_path / 'own.py'}:light")
    return reward, reward.reward.function.__globals__["calls"]


def test_the_second_time_nothing_is_asked_and_nothing_differs(images):
    reward = cached("ocr")
    texts = ['"A"', '"B"', '"C"', '"D"']
    first = reward(images=images, prompts=texts)
    reward.reward = None  # any further question would fail
    second = reward(images=images, prompts=texts)
    plain = reward_zoo.load("ocr")(images=images, prompts=texts)
    for found in (first, second):
        assert torch.equal(found.values, plain.values)
        assert found.perceived == plain.perceived
        assert {name: part.tolist() for name, part in found.components.items()} == {
            name: part.tolist() for name, part in plain.components.items()
        }


def test_only_what_is_new_is_asked(counted, images):
    reward, calls = counted
    reward(images=images[:2], prompts="a")
    reward(images=images, prompts="a")
    reward(images=images[[3, 1]], prompts="a")
    assert calls == [2, 2]
    reward(images=images, prompts="b")
    assert calls == [2, 2, 4]


def test_failures_are_not_remembered(counted, images):
    reward, calls = counted
    images[2] = 1.0
    for _ in range(2):
        scores = reward(images=images, prompts="a")
        assert scores.valid.tolist() == [True, True, False, True]
    assert calls == [4, 1]


def test_another_text_of_the_function_is_another_reward(counted, images, tmp_path):
    first = counted[0](images=images, prompts="a").values
    (tmp_path / "own.py").write_text(COUNTED.replace("images.mean((1, 2, 3))", "images.mean((1, 2, 3)) / 2"))
    second = cached(f"{tmp_path / 'own.py'}:light")(images=images, prompts="a").values
    assert torch.allclose(second, first / 2)


def test_options_and_the_files_they_name_count(images, tmp_path):
    read = "def read(pictures):\n    return ['{word}'] * len(pictures)\n"
    (tmp_path / "read.py").write_text(read.format(word="OPEN"))
    spec = f"ocr:engine={tmp_path / 'read.py'}:read"
    for more, want in (("", 0.75), (",mode=exact", 0.0)):
        assert cached(spec + more)(images=images, targets=["OVEN"] * 4).values.tolist() == [want] * 4
    (tmp_path / "read.py").write_text(read.format(word="CLOSED"))
    assert cached(spec)(images=images, targets=["CLOSED"] * 4).values.tolist() == [1.0] * 4


def test_a_composite_remembers_its_members_not_their_scale(images):
    cached("brightness+contrast")(images=images)
    assert ScoreCache().info()["rewards"] == {"brightness": 4, "contrast": 4}
    calibration.save("brightness", calibration.fit(torch.tensor([0.4, 0.5, 0.6]), "brightness"))
    want = reward_zoo.load("brightness+contrast")(images=images).values
    assert torch.equal(cached("brightness+contrast")(images=images).values, want)


def test_a_gradient_is_never_remembered(images):
    reward = cached("brightness")
    reward(images=images)
    pixels = images.clone().requires_grad_(True)
    reward(images=pixels).values.sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_a_thousand_pictures_come_back_quickly():
    """Kept records and hashing only; the engine's speed is in benchmarks/rewards.py."""
    pictures = torch.rand(1000, 3, 32, 128, generator=torch.Generator().manual_seed(0))
    reward = cached("ocr")
    keys = [reward._key(reward_zoo.RewardInputs(images=pictures, targets=["A"] * 1000), row) for row in range(1000)]
    record = {"score": 0.5, "components": {"ned": 0.5}, "perceived": "A"}
    ScoreCache().put("ocr", dict.fromkeys(keys, record))
    reward.reward = None
    began = time.perf_counter()
    assert reward(images=pictures, targets="A").values.tolist() == [0.5] * 1000
    assert time.perf_counter() - began < 2.0


WRITER = """
import sys
from pathlib import Path
from reward_zoo.cache import ScoreCache
cache, who = ScoreCache(Path(sys.argv[1])), int(sys.argv[2])
for number in range(15):
    cache.put(f"writer {who}", {f"{who} {number} {row}".encode(): {"score": row} for row in range(20)})
"""


def test_two_processes_lose_nothing(tmp_path):
    path = tmp_path / "scores.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, str(who)]) for who in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache = ScoreCache(path)
    assert cache.info()["rewards"] == {"writer 0": 300, "writer 1": 300}
    keys = [f"{who} {number} {row}".encode() for who in range(2) for number in range(15) for row in range(20)]
    assert [cache.get(keys)[key]["score"] for key in keys] == list(range(20)) * 30


def test_clearing_and_a_damaged_file(tmp_path):
    cache = ScoreCache(tmp_path / "scores.sqlite")
    assert cache.clear() == 0
    cache.put("a", {b"1": {"score": 1.0}})
    cache.put("b", {b"2": {"score": 2.0}})
    assert cache.clear("a") == 1
    assert cache.info()["rewards"] == {"b": 1}
    cache.path.write_bytes(b"no database" * 1000)
    with pytest.raises(CacheError, match="lasro cache clear"):
        cache.get([b"2"])
    cache.clear()
    assert cache.info()["scores"] == 0
