"""Search at inference: what is kept scores higher, by the surrogate and, where it is right, in truth."""

import pytest
import torch

import reward_zoo
from finetune.inference import best_of, optimize_noise
from tests.surrogate.test_evaluation import Oracle


@pytest.fixture(scope="module")
def oracle(generator):
    return Oracle(generator, 1)


def brightness(generator, latents):
    return reward_zoo.load("brightness")(images=generator.decode(latents)).values


def test_the_best_of_eight_is_the_best_of_eight(generator, oracle):
    latents, scores = best_of(generator, oracle, "a cat", 3, count=8, batch_size=3)
    plain = generator.sample(["a cat"], [3], 2)[-1]
    assert scores.shape == (8,)
    assert torch.allclose(brightness(generator, plain), scores[:1], atol=1e-5)
    assert torch.allclose(brightness(generator, latents), scores.max()[None], atol=1e-5)
    assert scores.unique().numel() == 8
    again, same = best_of(generator, oracle, "a cat", 3, count=8, batch_size=8)
    assert torch.allclose(same, scores, atol=1e-5)
    assert torch.allclose(again, latents, atol=1e-4)


def test_climbing_in_the_noise_raises_the_truth(generator, oracle):
    prompts, seeds = ["a cat", "a dog"], [0, 1]
    plain = generator.sample(prompts, seeds, 2)[-1]
    latents, scores = optimize_noise(generator, oracle, prompts, seeds, steps=6)
    assert scores.shape == (7, 2)
    assert torch.allclose(scores[0], brightness(generator, plain), atol=1e-5)
    assert (brightness(generator, latents) > brightness(generator, plain)).all()
    assert torch.allclose(brightness(generator, latents), scores.amax(0), atol=1e-5)


def test_no_step_is_plain_sampling(generator, oracle):
    latents, scores = optimize_noise(generator, oracle, ["a cat"], [0], steps=0)
    assert torch.allclose(latents, generator.sample(["a cat"], [0], 2)[-1], atol=1e-5)
    assert len(scores) == 1
