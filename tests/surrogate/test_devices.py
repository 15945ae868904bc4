"""Everything runs where the generator is: shapes and devices on a pretended CUDA device, which CPU tensors may not touch."""

import pytest
import torch

import reward_zoo
from finetune.config import FinetuneConfig
from finetune.evaluation import compare, evaluate
from finetune.generators.pipeline import load_generator
from finetune.method import Critic
from finetune.methods import METHODS, load_method
from finetune.trainer import Trainer
from reward_zoo.devices import pick_device
from reward_zoo.errors import SpecError
from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.evaluation import gradient_gain, order, roll_out
from surrogate.labelling import RewardMeter
from surrogate.sampling import LabelledLatents
from tests.tiny.accelerator import pretended
from tests.tiny.surrogate import untrained
from tests.tiny.tuning import Brightness

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


@pytest.mark.parametrize("backbone", ["full", "encoder", "latent-cnn", "pixel-cnn", "latent-vit"])
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


def test_evaluating_there(moved):
    guards = {name: reward_zoo.load(name) for name in ("artifact_guard", "sharpness")}
    given = {"guards": guards, "keep_images": 2, "diversity_prompts": 2}
    found = evaluate(moved, reward_zoo.load("brightness"), PROMPTS, [1, 2], **given)
    assert set(found.alarms) == set(guards["artifact_guard"].card.components)
    assert compare(found, found, moved)["diversity"]["ratio"] == 1.0


@pytest.mark.parametrize("backbone", ["full", "latent-cnn", "pixel-cnn", "latent-vit"])
def test_distilling_there(moved, backbone):
    latents, groups = torch.randn(24, 4, 16, 16), torch.arange(4).repeat(6)
    data = LabelledLatents(latents, torch.rand(24), torch.ones(24), groups, ["a", "b", "c", "d"], [""] * 24)
    config = DistillConfig(backbone=backbone, steps=2, prompts_per_batch=2)
    surrogate = train_surrogate(moved, data, data, config, margin=0.2).surrogate.requires_grad_(False)
    meter = RewardMeter(reward_zoo.load("brightness"))
    rollouts = roll_out(moved, meter, PROMPTS, noises=2, seed=0)
    assert surrogate.device.type == "cuda"
    assert len(order(moved, surrogate, rollouts, 0.2)["accuracy_by_noise"]) == 5
    assert len(gradient_gain(moved, surrogate, meter, rollouts, count=2, seed=0)) == 3


@pytest.mark.parametrize(
    "method", ["lasro", *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS if name != "lasro")]
)
def test_tuning_there(moved, method):
    prompts = [f"a {number}" for number in range(8)]
    config = FinetuneConfig(method=method, steps=1, batch_size=2, evaluate_every=1, validation_samples=2)
    critic = None
    if method == "lasro":
        distilled = DistillConfig(backbone="latent-cnn").settled(perceives=False)
        critic = Critic(untrained(moved, "latent-cnn"), distilled, margin=0.2)
    options = {"adapt_every": "1", "adapt_prompts": "2"} if method == "lasro" else {}
    trainer = Trainer(moved, Brightness(), prompts, config, load_method(method, options), critic=critic)
    trainer.run()
    assert trainer.step == 1
    assert {parameter.device.type for parameter in trainer.tuned.parameters} == {"cuda"}


def test_devices_by_name():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type in ("cuda", "mps", "cpu")
    with pytest.raises(SpecError, match="--device gpu: no such device"):
        pick_device("gpu")
    with pytest.raises(SpecError, match=r"--device cuda:99: this machine has none; give auto, or one of .*cpu"):
        pick_device("cuda:99")
