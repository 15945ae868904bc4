"""Rewards of the user's own: a decorated function, a class, a file."""

import pytest
import torch

import reward_zoo
from reward_zoo.errors import RewardError, RewardFailedError, SpecError, UnknownRewardError

FILE = '''
from reward_zoo import Scores

def left(images, prompts):
    """Light on the left."""
    return images[..., : images.shape[-1] // 2].mean((1, 2, 3)).tolist()

def raises(images):
    raise KeyError("lost")

def short(images):
    return [0.5]

def text(images):
    return "high"

def named(images):
    return Scores(values=[0.5] * len(images), components={"why": ["dark"] * len(images)})

def lost(images):
    return Scores(values=[0.5] * len(images), components={"why": [1.0]})

def nan(images):
    return images.mean((1, 2, 3)) * float("nan")

def needs_depth(images, depth):
    return depth
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(FILE)
    return path


def test_a_function_in_a_file_gets_what_it_names(file, images):
    reward = reward_zoo.load(f"{file}:left")
    assert reward.card.summary == "Light on the left."
    assert reward.card.needs == ("prompt",)
    want = images[..., :24].mean((1, 2, 3))
    assert torch.allclose(reward(images=images, prompts="a sign").values, want)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "raised KeyError: 'lost'"),
        ("short", "returned 1 scores for 4 images"),
        ("text", "returned str"),
        ("named", "component 'why': returned list"),
        ("lost", "component 'why': returned 1 scores for 4 images"),
    ],
)
def test_a_reward_that_fails_says_how(file, images, name, message):
    with pytest.raises(RewardFailedError, match=message):
        reward_zoo.load(f"{file}:{name}")(images=images)


def test_nan_marks_the_item_invalid(file, images):
    assert not reward_zoo.load(f"{file}:nan")(images=images).valid.any()


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("{file}:lefd", SpecError, "did you mean 'left'"),
        ("{file}:needs_depth", SpecError, "depth"),
        ("no/such.py:f", SpecError, "no such file"),
        ("json:dumps=1", UnknownRewardError, "unknown reward 'json'"),
        ("orc", UnknownRewardError, "did you mean 'ocr'"),
        ("brightness:target=dark", SpecError, "not a number"),
        ("symmetry:mode=x", SpecError, "it takes none"),
        ("", SpecError, "not a spec"),
    ],
)
def test_bad_specs(file, spec, error, message):
    with pytest.raises(error, match=message):
        reward_zoo.load(spec.format(file=file))


def test_a_registered_name_loads_and_is_not_taken_twice(images):
    @reward_zoo.register("test_only_red", override=True)
    def red(images):
        return images[:, 0].mean((1, 2))

    assert torch.allclose(reward_zoo.load("test_only_red")(images=images).values, images[:, 0].mean((1, 2)))
    with pytest.raises(RewardError, match="is taken"):
        reward_zoo.register("ocr")(red)
