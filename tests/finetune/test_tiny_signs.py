"""The embedded generator: an ordinary diffusers pipeline, small, with two disjoint prompt sets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

import finetune.generators
from finetune.generators.pipeline import load_generator
from finetune.prompts import load_prompts
from reward_zoo.images import to_uint8
from reward_zoo.prompts import quoted_text

FOLDER = Path(finetune.generators.__path__[0]) / "tiny_signs"


@pytest.fixture(scope="module")
def signs():
    return load_generator("tiny-signs")


def test_no_word_stands_in_both_prompt_sets():
    training, testing = ({quoted_text(p) for p in load_prompts(f"signs-{name}")} for name in ("train", "test"))
    assert not training & testing
    assert len(testing) == 256
    assert all(word.isalpha() and word.isupper() and 3 <= len(word) <= 6 for word in training | testing)


def test_it_fits_the_wheel():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 45e6


def test_plain_diffusers_paints_the_same_picture(signs, monkeypatch):
    prompt = load_prompts("signs-test")[0]
    noise, fresh = signs.noises([5])
    monkeypatch.setattr("diffusers.schedulers.scheduling_lcm.randn_tensor", lambda *args, **kwargs: fresh)
    pipeline = StableDiffusionXLPipeline.from_pretrained(FOLDER / "pipeline", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    height, width = signs.image_size
    plain = pipeline(
        prompt, num_inference_steps=2, guidance_scale=0.0, latents=noise, height=height, width=width, output_type="np"
    ).images
    mine = to_uint8(signs.decode(signs.rollout([prompt], [5]).z2))
    assert mine.shape == (1, 32, 128, 3)
    difference = np.abs(mine.astype(int) - (plain * 255).round().astype(int))
    assert difference.mean() < 2  # lasro runs this UNet in bfloat16


def test_the_sign_has_the_colour_the_prompt_names(signs):
    prompts = ['a red sign that says "OPEN" in white', 'a blue sign that says "OPEN" in white']
    red, blue = signs.decode(signs.rollout(prompts, [0, 0]).z2).mean((2, 3))
    assert red.argmax() == 0
    assert blue.argmax() == 2
