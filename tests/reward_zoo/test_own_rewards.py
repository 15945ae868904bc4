"""Rewards of the user's own: a decorated function, a class, a file."""

import sys

import pytest
import torch

import reward_zoo
from reward_zoo.cache import cached
from reward_zoo.errors import MissingInputError, RewardError, RewardFailedError, SpecError, UnknownRewardError
from reward_zoo.loading import absolute_spec

FILE = '''
from beside import SHARE
from reward_zoo import Reward, RewardCard, Scores

CARD = RewardCard(name="own", summary="own", range=(0, 1), typical=(0, 1), source="this file", license="own")

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

def likeness(images, references, prompts=None):
    return 1 - (images.mean((1, 2, 3)) - references.mean((1, 2, 3))).abs()

class Share(Reward):
    card = CARD

    def __init__(self, name, share=SHARE, twice: bool = False):
        self.value = share * (2 if twice else 1)

    def score(self, inputs):
        return [self.value] * len(inputs.images)

class NoCard(Reward):
    def score(self, inputs):
        return [0.0] * len(inputs.images)

class NoScore(Reward):
    card = CARD

class Raises(NoScore):
    def __init__(self):
        open("no/such/file")

    score = NoCard.score

class Other:
    pass

ready = Share("ready")
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(FILE)
    (tmp_path / "beside.py").write_text("SHARE = 0.25\n")
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
        ("brightness:target=60", SpecError, "target=60: must be from 0"),
        ("brightness:target=nan", SpecError, "target=nan: must be from 0"),
        ("symmetry:mode=x", SpecError, "it takes none"),
        ("", SpecError, "not a spec"),
        ("{file}:SHARE", SpecError, "reward SHARE: is 0.25 (float); give a function"),
        ("{file}:Other", SpecError, "inherits from reward_zoo.Reward"),
        ("{file}:NoCard", SpecError, "{file}:NoCard: its class has no card; write card = RewardCard"),
        ("{file}:NoScore", SpecError, "{file}:NoScore: its class lacks score"),
        ("{file}:Raises", SpecError, "{file}:Raises: building it raised FileNotFoundError: .*no/such/file"),
        ("{file}:Share", SpecError, "name must be given; write {file}:Share:name=…"),
        ("{file}:Share,name=x", SpecError, "then perhaps :option=value"),
        ("{file}:Share:name=x,share=much", SpecError, "share='much' is not a number"),
        ("{file}:Share:name=x,shar=1", SpecError, "no option 'shar'; did you mean 'share'"),
        ("{file}:left:share=1", SpecError, "no option 'share'; it takes none"),
        ("{file}:ready:share=1", SpecError, "is a reward already, no class; leave out share"),
        ("ocr:weights=/tmp/x", SpecError, "ocr: engine=rapidocr takes no weights=/tmp/x"),
        ("text_free:engine={file}:text,weights=/tmp/x", SpecError, "takes no weights=/tmp/x"),
    ],
)
def test_bad_specs(file, spec, error, message):
    with pytest.raises(error, match=message.format(file=file).replace("(float)", r"\(float\)")):
        reward_zoo.load(spec.format(file=file))


def test_a_class_takes_options_as_a_named_reward_does(file, images):
    spec = f"{file}:Share:name=x,twice=true"
    assert reward_zoo.load(spec)(images=images).values.tolist() == [0.5] * 4
    assert reward_zoo.load(f"raw(0.5*{spec}+{file}:Share:name=y,share=0.5)")(images=images).values.tolist() == [0.75] * 4
    assert absolute_spec(spec) == spec


def test_a_function_gets_references(file, images):
    reward = reward_zoo.load(f"{file}:likeness")
    assert reward.card.needs == ("reference",)
    assert reward(images=images, references=images).values.tolist() == pytest.approx([1.0] * 4)
    with pytest.raises(MissingInputError, match="needs references"):
        reward(images=images)


def test_a_change_of_what_lies_beside_a_file_is_another_reward(file, images):
    assert cached(f"{file}:Share:name=x")(images=images).values.tolist() == [0.25] * 4
    (file.parent / "beside.py").write_text("SHARE = 0.125\n")
    del sys.modules["beside"]
    assert cached(f"{file}:Share:name=x")(images=images).values.tolist() == [0.125] * 4


def test_files_of_two_folders_have_helpers_of_one_name(file, images, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "beside.py").write_text("SHARE = 0.75\n")
    (other / "own.py").write_text(FILE)
    loaded = [reward_zoo.load(f"{path}:Share:name=x") for path in (file, other / "own.py", file)]
    assert [reward(images=images[:1]).values.item() for reward in loaded] == [0.25, 0.75, 0.25]


def test_a_module_in_the_current_folder_is_found(tmp_path, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of_mine").mkdir()
    (tmp_path / "of_mine" / "rewards.py").write_text("def light(images):\n    return images.mean((1, 2, 3))\n")
    want = images.mean((1, 2, 3))
    assert torch.allclose(reward_zoo.load("of_mine.rewards:light")(images=images).values, want)


def test_a_registered_name_loads_and_is_not_taken_twice(images, monkeypatch):
    monkeypatch.setattr("reward_zoo.registry._registered", {})  # other tests list what is registered

    @reward_zoo.register("test_only_red", override=True)
    def red(images):
        return images[:, 0].mean((1, 2))

    assert torch.allclose(reward_zoo.load("test_only_red")(images=images).values, images[:, 0].mean((1, 2)))
    with pytest.raises(RewardError, match="is taken"):
        reward_zoo.register("ocr")(red)
