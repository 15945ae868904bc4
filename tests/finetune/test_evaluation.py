"""Before and after: guards, variety, distance, and a verdict on cheating."""

import numpy as np
import pytest
import torch

import reward_zoo
from finetune.diversity import PerceptualFeatures, distances, diversity
from finetune.evaluation import Evaluation, compare, evaluate
from finetune.verdict import verdict
from tests.tiny.tuning import PROMPTS


@pytest.fixture(scope="module")
def found(generator):
    guards = {name: reward_zoo.load(name) for name in ("artifact_guard", "sharpness")}
    given = {"guards": guards, "keep_images": 4, "diversity_prompts": 2}
    return evaluate(generator, reward_zoo.load("brightness"), PROMPTS[:6], list(range(6)), batch_size=4, **given)


def test_everything_asked_for_is_measured(found, generator):
    pictures = generator.decode(generator.rollout(PROMPTS[:4], list(range(4))).z2)
    assert torch.equal(found.images, pictures)
    assert found.scores[:4] == pytest.approx(reward_zoo.load("brightness")(images=pictures).values.numpy())
    assert {name: len(scores) for name, scores in found.guards.items()} == {"artifact_guard": 6, "sharpness": 6}
    assert set(found.alarms) == set(reward_zoo.load("artifact_guard").card.components)
    assert len(found.one_step) == 6
    assert len(found.diversity) == 2
    assert (found.diversity > 0).all()


def test_batches_change_no_score(found, generator):
    again = evaluate(generator, reward_zoo.load("brightness"), PROMPTS[:6], list(range(6)), batch_size=6)
    assert again.scores == pytest.approx(found.scores, abs=1e-5)


def test_a_generator_compared_with_itself_has_not_moved(found, generator):
    result = compare(found, found, generator)
    assert result["reward"]["ci95"] == [0, 0]
    assert result["diversity"]["ratio"] == pytest.approx(1)
    assert result["distance_to_base"] == pytest.approx(0, abs=1e-6)
    assert verdict(result) == {
        "gained": False,
        "cheats": False,
        "reasons": [],
        "warnings": [],
        "words": "no gain: the 95 % interval of the reward's change reaches zero",
    }


def test_a_guard_that_gave_no_score_is_no_witness():
    scores, none = np.linspace(0.4, 0.6, 16), np.full(16, np.nan)
    before = Evaluation(scores, guards={"good": scores, "broken": none}, alarms={"dark": none})
    after = Evaluation(scores + 0.1, guards={"good": scores, "broken": none}, alarms={"dark": none})
    result = compare(before, after, generator=None)
    assert [guard["name"] for guard in result["guards"]] == ["good"]
    assert result["alarms"] == {}
    assert verdict(result)["warnings"] == ["guard broken gave no score, so that it guarded nothing"]
    assert "broken" in verdict(result)["words"]


def test_perceptual_distance_is_a_distance_of_looks(generator):
    measure, rng = PerceptualFeatures(generator), torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 128, 128, generator=rng)
    nearly = (picture + 0.02 * torch.randn(picture.shape, generator=rng)).clamp(0, 1)
    other = torch.rand(1, 3, 128, 128, generator=rng)
    assert distances(measure(picture), measure(picture)).item() == 0
    assert 0 < measure.mean_distance(picture, nearly) < measure.mean_distance(picture, other)
    assert measure.mean_distance(picture, other) == pytest.approx(measure.mean_distance(other, picture))


def test_a_generator_that_paints_one_picture_has_no_diversity(generator, monkeypatch):
    assert diversity(generator, PROMPTS[:1])[0] > 0
    latent = torch.randn(1, 4, 16, 16)
    monkeypatch.setattr(generator, "noises", lambda seeds, count=2: latent.expand(count, len(seeds), -1, -1, -1))
    assert diversity(generator, PROMPTS[:1])[0] == pytest.approx(0, abs=1e-6)


def changed(*, gain=0.1, guard=0.0, dark=0.0, variety=1.0):
    """What `compare` would find of a made-up change."""
    ramp = np.linspace(0.4, 0.6, 64)
    parts = [
        Evaluation(
            scores=ramp + shift * gain,
            guards={"other": ramp + shift * guard},
            alarms={"dark": np.full(64, shift * dark)},
            diversity=np.full(8, 0.2 * (variety if shift else 1)),
        )
        for shift in (0, 1)
    ]
    return compare(*parts, generator=None)


@pytest.mark.parametrize(
    ("change", "cheats", "words"),
    [
        ({}, False, "no guard fell"),
        ({"guard": -0.1}, True, "guard other fell from 0.500 to 0.400"),
        ({"guard": -0.005}, False, "no guard fell"),
        ({"dark": 0.1}, True, "images found dark rose from 0.0% to 10.0%"),
        ({"variety": 0.5}, False, "no guard fell; pictures of one prompt are 0.50 times as different"),
        ({"gain": 0.0, "guard": -0.1}, False, "no gain"),
    ],
)
def test_the_verdict_names_what_fell(change, cheats, words):
    found = verdict(changed(**change))
    assert found["cheats"] is cheats
    assert words in found["words"]
