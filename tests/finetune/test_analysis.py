"""The step analysis on a generator whose numbers are known."""

import pytest
import torch

from finetune.analysis import StepAnalysis, likelihood_share, run_chain
from tests.tiny.toy import ToyGenerator
from tests.tiny.tuning import PROMPTS


def brightness(images, prompts):
    return images.mean((1, 2, 3))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_chain_is_the_generators_own_sampling(generator, steps):
    noise = generator.noises([3, 4], max(2, steps))
    chain = run_chain(generator, generator.encode(PROMPTS[:2]), noise[0], noise[1:], steps)
    assert torch.equal(chain.z, generator.sample(PROMPTS[:2], [3, 4], steps)[-1])
    assert len(chain.inputs) == steps


def test_the_lipschitz_constant_of_a_linear_chain():
    toy = ToyGenerator()  # x0 = 0.8 x: one step stretches by .8, two by .8 · √ᾱ · .8
    mean, high = StepAnalysis(toy, PROMPTS).lipschitz(1)
    assert (mean, high) == pytest.approx((0.8, 0.8), rel=1e-3)
    mean, _ = StepAnalysis(toy, PROMPTS).lipschitz(2)
    assert mean == pytest.approx(0.8 * toy.alphas_cumprod[499].sqrt().item() * 0.8, rel=1e-3)


def test_variety_comes_from_the_noise_between_the_steps(generator):
    analysis = StepAnalysis(generator, PROMPTS[:2])
    assert analysis.diversity(1) == 0
    assert analysis.diversity(2) > 0


def test_gradient_noise_falls_where_the_reward_hears_the_noise(monkeypatch):
    toy = ToyGenerator()
    analysis = StepAnalysis(toy, PROMPTS)
    assert analysis.gradient_noise(1, brightness) == float("inf")
    heard = analysis.gradient_noise(2, brightness, samples=32)
    deaf = analysis.gradient_noise(2, lambda images, prompts: torch.rand(len(images)), samples=32)
    assert 0 < heard < deaf
    assert not any(parameter.requires_grad for parameter in toy.unet.parameters())


def test_the_last_step_has_no_likelihood():
    assert [likelihood_share(steps) for steps in (1, 2, 4)] == [0, 0.5, 0.75]
