"""Large generators in less memory: half precision, activations computed twice, prompts remembered on disk, encoders freed."""

from pathlib import Path

import pytest
import torch

from finetune.diversity import PerceptualFeatures
from finetune.errors import GeneratorError
from finetune.generators import pipeline as loading
from finetune.generators.pipeline import load_generator
from finetune.generators.preset import Preset
from finetune.lora import attach_lora, load_lora, lora_state, save_lora
from reward_zoo import devices
from surrogate.folder import load_surrogate
from tests.tiny.surrogate import build_folder, untrained
from tests.tiny.tuning import make_trainer

PROMPTS = ["a cat", "a dog"]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_weights_give_float32_samples_with_gradients(precision, generator, tiny_sdxl):
    half = load_generator(str(tiny_sdxl), "cpu", precision=precision)
    dtype = getattr(torch, precision)
    encoders = (half.pipeline.text_encoder, half.pipeline.text_encoder_2)
    assert {module.dtype for module in (half.unet, *encoders)} == {dtype}
    assert half.vae.dtype == torch.float32  # SDXL's own overflows in half precision
    conditioning = half.encode(PROMPTS)
    assert conditioning.prompt_embeds.dtype == conditioning.pooled.dtype == torch.float32
    mine, full = (one.rollout(PROMPTS, [1, 2]) for one in (half, generator))
    assert mine.z1.dtype == mine.z2.dtype == torch.float32
    off = (mine.z1 - full.z1).square().mean() / full.z1.square().mean()
    assert 0 < off < 1e-3
    parameters = attach_lora(half.unet, rank=2, targets="all", seed=0)
    half.denoise(half.noises([1, 2]), conditioning, 2)[-1].square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in parameters)
    assert any(parameter.grad.abs().max() > 0 for parameter in parameters)


def test_an_autoencoder_that_is_safe_in_half_precision_is_in_half_precision(base, weights):
    preset = Preset(name="x", source=str(base), vae=str(weights["vae"]))
    half, full = (load_generator(preset, "cpu", precision=precision) for precision in ("bfloat16", "float32"))
    assert (half.vae.dtype, full.vae.dtype) == (torch.bfloat16, torch.float32)
    latents = torch.randn(1, 4, 16, 16)
    images = half.decode(latents)
    assert images.dtype == torch.float32
    assert torch.allclose(images, full.decode(latents), atol=0.05)
    assert torch.allclose(half.encode_images(images), full.encode_images(images), atol=0.05)
    assert half.encode_images(images).dtype == torch.float32


def test_the_autoencoder_never_takes_more_pictures_than_its_memory_holds(generator, monkeypatch):
    images, taken = torch.rand(5, 3, *generator.image_size), []
    features = PerceptualFeatures(generator)
    whole = generator.encode_images(images), features.mean_distance(images[:2], images[2:4])
    height, width = generator.image_size
    monkeypatch.setattr(devices, "CPU_PIXELS", 2 * height * width)
    hook = generator.vae.encoder.conv_in.register_forward_pre_hook(lambda _, given: taken.append(len(given[0])))
    parts = generator.encode_images(images), features.mean_distance(images[:2], images[2:4])
    hook.remove()
    assert torch.allclose(parts[0], whole[0], atol=1e-5)
    assert parts[1] == pytest.approx(whole[1], rel=1e-4)
    assert taken == [2, 2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("backbone", ["full", "encoder"])
def test_surrogates_of_a_half_precision_generator_train_in_float32(tiny_sdxl, backbone):
    surrogate = untrained(load_generator(str(tiny_sdxl), "cpu", precision="bfloat16"), backbone)
    assert {parameter.dtype for parameter in surrogate.parameters()} == {torch.float32}


def test_precision_is_named_where_it_is_not_known(tiny_sdxl):
    with pytest.raises(GeneratorError, match="precision 'bf16': did you mean 'bfloat16'"):
        load_generator(str(tiny_sdxl), precision="bf16")


def gradients(generator):
    """Of a LoRA from a two-step sample, and how often a block of the UNet was run."""
    runs = []
    for parameter in attach_lora(generator.unet, rank=2, targets="attention", seed=0):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    generator.unet.mid_block.resnets[-1].register_forward_pre_hook(lambda *_: runs.append(1))
    generator.denoise(generator.noises([1]), generator.encode(["a"]), 2)[-1].square().mean().backward()
    return [parameter.grad for parameter in generator.unet.parameters() if parameter.requires_grad], len(runs)


def test_gradient_checkpointing_computes_twice_and_changes_no_number(tiny_sdxl):
    kept, saving = (gradients(load_generator(str(tiny_sdxl), "cpu", gradient_checkpointing=flag)) for flag in (False, True))
    assert saving[1] > kept[1] == 2
    for one, other in zip(kept[0], saving[0], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6 * float(kept[0][0].abs().max().clamp(min=1)))


def test_a_large_unet_computes_its_activations_twice_unless_told_otherwise(tiny_sdxl, monkeypatch):
    def computes_twice(**given):
        return load_generator(str(tiny_sdxl), "cpu", **given).unet.is_gradient_checkpointing

    assert not computes_twice()
    monkeypatch.setattr("surrogate.building.LARGE", 1000)
    assert computes_twice()
    assert not computes_twice(gradient_checkpointing=False)


@pytest.mark.parametrize("saves", [False, True])
def test_the_surrogate_that_is_climbed_saves_memory_too(tiny_sdxl, tmp_path, saves):
    generator = load_generator(str(tiny_sdxl), "cpu", gradient_checkpointing=saves)
    critic = load_surrogate(build_folder(tmp_path, generator, reward="brightness", name="tiny")).surrogate
    trainer = make_trainer(critic=critic, generator=generator, steps=1, batch_size=2)
    runs, unet = [], trainer.method.surrogate.backbone.unet
    unet.mid_block.resnets[-1].register_forward_pre_hook(lambda *_: runs.append(1))
    next(trainer.method.losses(1)).backward()
    assert len(runs) == (4 if saves else 2)  # z1 and z2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_prompts_come_back_from_disk_bit_for_bit(precision, tiny_sdxl, tmp_path, monkeypatch):
    plain = load_generator(str(tiny_sdxl), "cpu", precision=precision).encode(PROMPTS)
    first = load_generator(str(tiny_sdxl), "cpu", precision=precision, text_cache=tmp_path)
    assert first.pipeline.text_encoder is None  # not before they are needed
    first.encode(PROMPTS)
    monkeypatch.setattr(loading, "load_encoders", lambda *_: pytest.fail("the text encoders were loaded again"))
    second = load_generator(str(tiny_sdxl), "cpu", precision=precision, text_cache=tmp_path)
    for conditioning in (first.encode(PROMPTS), second.encode(PROMPTS)):
        for part in ("prompt_embeds", "pooled", "time_ids"):
            assert torch.equal(getattr(conditioning, part), getattr(plain, part))
    assert torch.equal(second.rollout(PROMPTS, [1, 2]).z2, first.rollout(PROMPTS, [1, 2]).z2)


def test_a_pipeline_is_written_with_the_encoders_that_were_not_needed(tiny_sdxl, tmp_path):
    for _ in range(2):
        generator = load_generator(str(tiny_sdxl), "cpu", text_cache=tmp_path / "cache")
        generator.encode(PROMPTS)
    assert generator.pipeline.text_encoder is None
    generator.save_pipeline(tmp_path / "pipeline")
    again = load_generator(str(tmp_path / "pipeline"), "cpu")
    assert torch.equal(again.encode(PROMPTS).pooled, generator.encode(PROMPTS).pooled)


def test_other_encoders_read_none_of_it(tiny_sdxl, base, tmp_path):
    def files(source, precision):
        load_generator(str(source), "cpu", precision=precision, text_cache=tmp_path).encode(["a"])
        return len(list(tmp_path.rglob("*.safetensors")))

    assert files(tiny_sdxl, "float32") == 1
    assert files(base, "float32") == 1  # the same encoders, elsewhere
    assert files(tiny_sdxl, "bfloat16") == 2
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".safetensors"]


def test_a_broken_or_unwritable_cache_is_named(tiny_sdxl, tmp_path):
    load_generator(str(tiny_sdxl), "cpu", text_cache=tmp_path / "cache").encode(["a"])
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(b"x")
    with pytest.raises(GeneratorError, match=rf"text cache {file}: cannot be read \(.*\); delete it"):
        load_generator(str(tiny_sdxl), "cpu", text_cache=tmp_path / "cache").encode(["a"])
    (tmp_path / "file").write_text("")
    with pytest.raises(GeneratorError, match="file: cannot be written"):
        load_generator(str(tiny_sdxl), "cpu", text_cache=tmp_path / "file").encode(["a"])


@pytest.mark.parametrize("cached", [False, True])
def test_without_encoders_known_prompts_are_answered(cached, tiny_sdxl, tmp_path):
    folder = tmp_path / "cache" if cached else None
    generator = load_generator(str(tiny_sdxl), "cpu", text_cache=folder)
    before = generator.rollout(PROMPTS, [1, 2])
    generator.drop_text_encoders()
    assert generator.pipeline.text_encoder is generator.pipeline.text_encoder_2 is None
    assert torch.equal(generator.rollout(PROMPTS, [1, 2]).z2, before.z2)
    assert torch.equal(generator.encode_passing(["", PROMPTS[0]]).pooled[1:], generator.encode(PROMPTS[:1]).pooled)
    for ask in (generator.encode, generator.encode_passing):
        with pytest.raises(GeneratorError, match=r"prompt 'a bird': was not encoded before .* dropped; encode"):
            ask(["a cat", "a bird"])
    with pytest.raises(GeneratorError, match="the pipeline is not whole: its text encoders were dropped"):
        generator.save_pipeline(tmp_path / "pipeline")
    generator.drop_text_encoders()  # again is harmless
    untrained(generator, "encoder")  # which asks for the empty prompt
    if cached:
        later = load_generator(str(tiny_sdxl), "cpu", text_cache=folder)
        later.drop_text_encoders()
        assert torch.equal(later.rollout(PROMPTS, [1, 2]).z2, before.z2)  # what is on disk is known too


def test_adapters_load_without_encoders(tiny_sdxl, tmp_path: Path):
    tuned = load_generator(str(tiny_sdxl), "cpu")
    for parameter in attach_lora(tuned.unet, rank=2, targets="attention", seed=0):
        torch.nn.init.normal_(parameter)
    save_lora(lora_state(tuned.unet), tmp_path / "adapter")
    generator = load_generator(str(tiny_sdxl), "cpu")
    generator.encode(PROMPTS)
    generator.drop_text_encoders()
    load_lora(generator.pipeline, tmp_path / "adapter")
    assert torch.allclose(generator.rollout(PROMPTS, [1, 2]).z2, tuned.rollout(PROMPTS, [1, 2]).z2, atol=1e-4)
