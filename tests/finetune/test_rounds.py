"""Labels in rounds: the later ones are of the generator as tuned on the earlier, and nothing of it stays behind."""

from dataclasses import replace

import pytest
import torch

import reward_zoo
from finetune.config import Rounds
from finetune.errors import ConfigError
from finetune.generators.pipeline import load_generator
from finetune.rounds import distill_in_rounds, drift_of
from surrogate.config import DistillConfig
from surrogate.labels import read_labels, run_label
from surrogate.runs.folder import RunFolder
from surrogate.store import LabelledStore

PROMPTS = [f"a {color} {thing}" for color in ("red", "blue", "green") for thing in ("cat", "dog", "tree", "boat")]
CONFIG = DistillConfig(samples=48, noises=2, steps=4, backbone="latent-cnn", seed=3)
ROUNDS = Rounds(rounds=2, drift_steps=4, drift_learning_rate=1e-2)


class CutOff(Exception):
    """Stands for a kill."""


class Watched(RunFolder):
    """Ends at a phase's step."""

    end: tuple[str, int] | None = None

    def heed(self, phase, done, total, *, pausable=True):
        if self.end == (phase, done):
            raise CutOff


@pytest.fixture(scope="module")
def mover(tiny_sdxl):
    """A generator of its own: the shared one must not be changed."""
    return load_generator(str(tiny_sdxl), "cpu")


def run_at(folder, mover, end=None):
    run = Watched(folder)
    object.__setattr__(run, "end", end)
    folder.mkdir(exist_ok=True)
    return distill_in_rounds(run, mover, reward_zoo.load("brightness"), "brightness", PROMPTS, CONFIG, rounds=ROUNDS)


def labels_in(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "labels").glob("*.safetensors"))}


@pytest.fixture(scope="module")
def whole(mover, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounds") / "whole"
    return folder, run_at(folder, mover)


def test_the_second_part_is_of_a_generator_that_has_moved(whole, mover, tmp_path):
    folder, result = whole
    assert (result["labels"], result["rounds"]) == (48, 2)
    adapted = 8 * 2 * 2  # once in four steps: prompts, noises, stages
    assert (result["tuning_calls"], result["reward_calls"]) == (adapted, 48 + adapted)
    brightness = reward_zoo.load("brightness")
    for samples in (24, 48):
        still, _ = run_label(tmp_path, mover, brightness, "brightness", PROMPTS, replace(CONFIG, samples=samples))
    moved, unmoved = (read_labels([store], brightness) for store in (LabelledStore.open(folder / "labels"), still))
    assert (moved.row_prompts(), moved.stages.tolist()) == (unmoved.row_prompts(), unmoved.stages.tolist())
    same = (moved.load().latents == unmoved.load().latents).flatten(1).all(1)
    assert same.tolist() == [True] * 24 + [False] * 24


def test_the_generator_is_left_as_it_was(whole, mover, tiny_sdxl):
    fresh = load_generator(str(tiny_sdxl), "cpu")
    ours, theirs = (one.rollout(PROMPTS[:2], [1, 2]).stages[2] for one in (mover, fresh))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("end", [("drift", 1), ("label", 24)])
def test_a_run_cut_off_and_gone_on_with_is_the_uninterrupted_one(whole, mover, tmp_path, end):
    with pytest.raises(CutOff):
        run_at(tmp_path, mover, end)
    result = run_at(tmp_path, mover)
    assert result["tuning_calls"] == whole[1]["tuning_calls"]
    assert labels_in(tmp_path) == labels_in(whole[0])
    weights = [(folder / "surrogate" / "model.safetensors").read_bytes() for folder in (tmp_path, whole[0])]
    assert weights[0] == weights[1]
    assert not drift_of(RunFolder(tmp_path), 1).exists()


def test_no_round_or_no_step_is_refused():
    with pytest.raises(ConfigError, match=r"--rounds 0"):
        Rounds(rounds=0)
    with pytest.raises(ConfigError, match=r"--drift-steps 0"):
        Rounds(drift_steps=0)


def test_the_command_labels_in_rounds(lasro, tiny_sdxl, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    common = ["--reward", "brightness", "--generator", tiny_sdxl, "--prompts", tmp_path / "prompts.txt", "--noises", 2]
    small = [
        "--samples",
        24,
        "--steps",
        2,
        "--backbone",
        "latent-cnn",
        "--rounds",
        2,
        "--drift-steps",
        1,
        "--out",
        tmp_path / "run",
    ]
    code, plan, err = lasro("distill", *common, *small, "--drift-steps", 9, "--dry-run", "--json")
    assert code == 0, err
    assert plan["reward_calls"]["tuning between rounds"] == 2 * 8 * 2 * 2  # twice in nine steps: prompts, noises, stages
    code, result, err = lasro("distill", *common, *small, "--json")
    assert code == 0, err
    assert (result["rounds"], result["reward_calls"], result["labels"]) == (2, 24, 24)  # too few steps to adapt
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("flags", "said"), [(["--rounds", 0], "--rounds 0"), (["--rounds", 2, "--data", "x"], "labelled already")]
)
def test_the_commands_mistakes_are_named(lasro, flags, said):
    code, _, err = lasro("distill", "--reward", "brightness", *flags)
    assert code == 2
    assert said in err
