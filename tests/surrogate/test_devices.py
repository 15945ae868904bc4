"""Everything runs where the generator is: shapes and devices on a pretended CUDA device, which CPU tensors may not touch."""

import pytest
import torch

from finetune.generators.pipeline import load_generator
from reward_zoo.devices import pick_device
from reward_zoo.errors import SpecError
from tests.tiny.accelerator import pretended
from tests.tiny.surrogate import untrained

PROMPTS = ["a cat", "a dog"]


@pytest.fixture
def moved(tiny_sdxl):
    """A generator of the test's own, its weights on the pretended device."""
    generator = load_generator(str(tiny_sdxl), "cpu")
    pipeline = generator.pipeline
    with pretended(generator.unet, generator.vae, pipeline.text_encoder, pipeline.text_encoder_2):
        yield generator


def test_the_pretence_refuses_to_mix():
    layer = torch.nn.Linear(2, 2)
    with pretended(layer):
        assert layer(torch.ones(1, 2).to("cuda")).device.type == "cuda"
        with pytest.raises(RuntimeError, match="device"):
            layer(torch.ones(1, 2) + 0)


def test_a_generator_samples_and_decodes_there(moved):
    latents = moved.sample(PROMPTS, [1, 2], 3)[-1]
    assert latents.device.type == "cuda"
    assert moved.decode(latents.cpu()).device.type == "cuda"
    assert moved.encode_images(torch.rand(1, 3, *moved.image_size)).device.type == "cuda"
    assert moved.encode(PROMPTS).prompt_embeds.device.type == "cuda"
    assert {kept.device.type for kept in moved.texts.one_by_one(PROMPTS)} == {"cpu"}


@pytest.mark.parametrize("backbone", ["full", "encoder", "latent-cnn", "latent-vit"])
def test_a_surrogate_scores_there(tiny_sdxl, backbone):
    generator = load_generator(str(tiny_sdxl), "cpu")
    surrogate = untrained(generator, backbone)
    with pretended(surrogate):
        conditioning = generator.encode(PROMPTS).to("cuda")
        latents = torch.randn(2, 4, 16, 16).to("cuda").requires_grad_(True)
        for rng in (None, torch.Generator().manual_seed(0)):
            scores = surrogate.score(latents, conditioning, rng=rng)
            assert scores.requires_grad
            assert surrogate.device.type == scores.device.type == "cuda"


def test_devices_by_name():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type in ("cuda", "mps", "cpu")
    with pytest.raises(SpecError, match="--device gpu: no such device"):
        pick_device("gpu")
    with pytest.raises(SpecError, match=r"--device cuda:99: this machine has none; give auto, or one of .*cpu"):
        pick_device("cuda:99")
