"""The report on a surrogate says yes to one that knows the reward, no to one that has it upside down."""

import numpy as np
import pytest
import torch

import reward_zoo
from surrogate.evaluation import evaluate_surrogate, gradient_gain, predict_at, roll_out
from surrogate.fidelity import calibration_curve
from surrogate.labelling import RewardMeter
from surrogate.model import Part, Surrogate
from tests.tiny.surrogate import Itself

PROMPTS = [f"a {thing}" for thing in ("cat", "dog", "tree", "boat", "house", "car")]


class Oracle:
    """Reads brightness off the decoded latent, `sign` times; noise confuses it."""

    score_time = 0

    def __init__(self, generator, sign):
        self.vae, self.sign = generator.pipeline.vae, sign

    def score(self, latents, conditioning, *, time=0):
        assert len(conditioning) == len(latents)
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0))
        noisy = latents + time / 100 * noise
        weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
        pictures = self.vae.decode(noisy / self.vae.config.scaling_factor).sample / 2 + 0.5
        return self.sign * (pictures.clamp(0, 1) * weights).sum(1).mean((1, 2))


@pytest.fixture(scope="module")
def meter():
    return RewardMeter(reward_zoo.load("brightness"))


@pytest.fixture(scope="module")
def data(generator, meter):
    return roll_out(generator, meter, PROMPTS, noises=3, seed=0, batch_size=8)


def test_every_sample_is_scored_once_and_rows_belong_together(generator, meter, data):
    assert len(data.latents) == len(data.scores) == len(data.prompts) == 6 * 3 * 2
    again = meter(generator.decode(data.latents), data.prompts).values.numpy()
    assert np.allclose(again, data.scores, atol=1e-6)
    assert [PROMPTS[group] for group in data.groups] == data.prompts
    assert (data.stages == 1).sum() == (data.stages == 2).sum()


def test_one_that_knows_the_reward_is_safe_to_climb(generator, meter, data):
    calls = meter.calls
    found = evaluate_surrogate(generator, Oracle(generator, 1), meter, data, margin=0.0, gradient_count=12, seed=0)
    assert found["pairwise"]["accuracy"] == 1.0
    assert found["spearman"] == pytest.approx(1.0)
    assert found["accuracy_by_stage"] == {"z1": 1.0, "z2": 1.0}
    assert found["accuracy_by_noise"]["0"] == 1.0
    assert found["accuracy_by_noise"]["400"] < 1.0
    assert found["gradient"]["step"] == 0.1
    assert found["gradient"]["gain"] > found["gradient"]["random_gain"]
    assert found["gradient"]["ci95"][0] > 0
    assert found["gradient"]["share_rising"] == 1.0
    assert found["verdict"].startswith("safe to climb by steps up to RMS 0.3")
    assert meter.calls - calls == len(data.scores) + 12 * 2 * 3  # the ceiling, and two directions of three lengths


def test_one_that_has_it_upside_down_is_not(generator, meter, data):
    found = evaluate_surrogate(generator, Oracle(generator, -1), meter, data, margin=0.0, gradient_count=6, seed=0)
    assert found["pairwise"]["accuracy"] == 0.0
    assert found["verdict"].startswith("do not climb: pairwise accuracy 0.000")
    assert all(part["gain"] < 0 for part in found["gradient"]["by_step"])


def test_steps_are_of_the_length_they_say(generator, data):
    seen = []

    class Meter:
        def __call__(self, images, prompts):
            return reward_zoo.load("brightness")(images=images)

    class Decoder:
        encode, latents, device = staticmethod(generator.encode), data.latents, generator.device

        @staticmethod
        def decode(latents):
            seen.append(latents)
            return generator.decode(latents)

    gradient_gain(Decoder, Oracle(generator, 1), Meter(), data, count=4, seed=0, step_sizes=(0.25,))
    rows = [torch.cdist(after.flatten(1), data.latents.flatten(1)).amin(1) for after in seen]
    size = data.latents[0].numel() ** 0.5 * 0.25
    assert torch.allclose(torch.cat(rows), torch.full((8,), size), rtol=1e-2)


def test_calibration_goes_from_the_lowest_prediction_to_the_highest():
    predictions, scores = np.array([3.0, 1.0, 2.0, 4.0]), np.array([30.0, 10.0, 20.0, 40.0])
    assert calibration_curve(predictions, scores, bins=2) == [
        {"predicted": 1.5, "true": 15.0, "count": 2},
        {"predicted": 3.5, "true": 35.0, "count": 2},
    ]


class Head(torch.nn.Module):
    """What the oracle reads, with no noise."""

    kind = "oracle"

    def __init__(self, oracle):
        super().__init__()
        self.oracle = oracle

    def look(self, features):
        return features[0]

    def rate(self, looks, conditioning):
        return self.oracle.score(looks, conditioning)


def test_predictions_are_in_the_rewards_units(generator, data):
    head, part = Head(Oracle(generator, 1)), Part("brightness", mean=5.0, spread=2.0)
    backbone = Itself(generator.alphas_cumprod)
    surrogate = Surrogate(backbone, [head], parts=[part], latent_space=generator.latent_space, score_time=0)
    assert np.allclose(predict_at(generator, surrogate, data, 0), 5 + 2 * data.scores, atol=1e-4)
