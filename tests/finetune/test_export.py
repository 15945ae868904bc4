"""An exported LoRA in plain diffusers paints what lasro's tuned generator paints."""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from finetune.errors import GeneratorError
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.lora import attach_lora, load_lora, lora_off, lora_state, save_lora
from finetune.statistics import paired_interval


@pytest.mark.parametrize("targets", ["attention", "all"])
def test_round_trip_through_plain_diffusers(tiny_sdxl, tmp_path, targets):
    tuned = load_generator(str(tiny_sdxl))
    base = tuned.rollout(["a cat"], [7]).z2
    for parameter in attach_lora(tuned.unet, rank=2, targets=targets, seed=0):
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    want = tuned.rollout(["a cat"], [7]).z2
    with lora_off(tuned.unet):
        assert torch.allclose(tuned.rollout(["a cat"], [7]).z2, base, atol=1e-4)
    save_lora(lora_state(tuned.unet), tmp_path)

    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, variant="fp16", dtype=torch.float32)
    pipeline.load_lora_weights(tmp_path)
    got = SDXLGenerator(pipeline, tuned.preset).rollout(["a cat"], [7]).z2
    assert not torch.allclose(want, base, atol=1e-2)
    assert torch.allclose(got, want, atol=1e-4)


def test_a_folder_without_an_adapter_is_a_named_error(generator, tmp_path):
    with pytest.raises(GeneratorError, match="is missing"):
        load_lora(generator.pipeline, tmp_path)


def test_the_interval_of_a_clear_gain_is_above_zero():
    low, high = paired_interval(torch.zeros(50).numpy(), torch.linspace(0.1, 0.3, 50).numpy())
    assert 0.1 < low < 0.2 < high < 0.3
