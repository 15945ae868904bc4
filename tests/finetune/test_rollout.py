"""Two-step sampling against the diffusers schedulers it mirrors: same noise in, same latents out."""

import pytest
import torch
from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, LCMScheduler

from finetune.errors import GeneratorError
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.generators.preset import Preset, preset_for, presets
from finetune.generators.rollout import next_input, sampling_times, transition
from tests.tiny.sdxl import build_sdxl

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "lcm": LCMScheduler(**BETAS),
    "euler_ancestral": EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing", steps_offset=1),
    "euler": EulerDiscreteScheduler(**BETAS, timestep_spacing="trailing", steps_offset=1),
    "ddim": DDIMScheduler(**BETAS, timestep_spacing="trailing", set_alpha_to_one=True, clip_sample=False),
}


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_the_rollout_is_the_schedulers(generator, name, monkeypatch):
    scheduler = SCHEDULERS[name]
    mine = SDXLGenerator(generator.pipeline, preset_for("tiny", scheduler))
    prompts, seeds = ["a cat", "a dog"], [3, 4]
    conditioning = mine.encode(prompts)
    noise, fresh = mine.noises(seeds)
    scheduler.set_timesteps(2)
    assert tuple(int(t) for t in scheduler.timesteps) == mine.preset.times
    for module in ("diffusers.schedulers.scheduling_lcm", "diffusers.schedulers.scheduling_euler_ancestral_discrete"):
        monkeypatch.setattr(f"{module}.randn_tensor", lambda *args, **kwargs: fresh)
    sample = noise * scheduler.init_noise_sigma
    extra = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
    with torch.no_grad():
        for time in scheduler.timesteps:
            seen = scheduler.scale_model_input(sample, time)
            output = mine.unet(seen, time, conditioning.prompt_embeds, added_cond_kwargs=extra).sample
            sample = scheduler.step(output, time, sample, return_dict=False)[0]
    z2 = mine.rollout(prompts, seeds).z2
    assert (z2 - sample).abs().max() <= 1e-4 * sample.abs().max().clamp(min=1)


@pytest.mark.parametrize("sampler", ["lcm", "tcd", "ddim", "euler", "euler_ancestral"])
def test_every_transition_keeps_the_variance(sampler):
    """The second input is √ᾱ·x0 and noise of variance 1 − ᾱ: what is carried over, and what is fresh."""
    preset, alphas = Preset(name="x", source="x", sampler=sampler), LCMScheduler(**BETAS).alphas_cumprod
    zero, one, times = torch.zeros(1), torch.ones(1), (999, 499)
    signal, std = transition(one, zero, preset, alphas, times)
    carry, _ = transition(zero, one, preset, alphas, times)
    assert signal.item() == pytest.approx(alphas[499].sqrt().item(), abs=1e-6)
    assert (carry**2 + std**2).item() == pytest.approx(1 - alphas[499].item(), abs=1e-5)
    assert (std.item() == 0) == (sampler in ("ddim", "euler"))
    x0, seen, fresh = torch.randn(3, 2, 4, 8, 8)
    mean, _ = transition(x0, seen, preset, alphas, times)
    assert torch.equal(next_input(x0, seen, fresh, preset, alphas, times), mean + std * fresh)


def test_a_row_depends_on_its_prompt_and_seed_alone(generator):
    both = generator.rollout(["a cat", "a dog"], [3, 4])
    alone = generator.rollout(["a dog"], [4])
    assert torch.allclose(both.z2[1:], alone.z2, atol=1e-4)
    assert not torch.allclose(generator.rollout(["a dog"], [5]).z2, alone.z2, atol=1e-2)


def test_more_steps_begin_like_fewer_and_end_elsewhere(generator):
    prompts, seeds = ["a cat", "a dog"], [3, 4]
    two, five = generator.sample(prompts, seeds, 2), generator.sample(prompts, seeds, 5)
    assert len(five) == 5
    assert torch.allclose(two[0], five[0], atol=1e-4)  # the same first noise
    rollout = generator.rollout(prompts, seeds, extra_steps=5)
    assert list(rollout.stages) == [1, 2, 5]
    assert torch.equal(rollout.stages[5], five[-1])
    assert torch.equal(rollout.z2, two[-1])


def test_times_fall_evenly_but_for_the_presets_own():
    preset = Preset(name="x", source="x", times=(999, 250))
    assert sampling_times(preset, 1) == [999]
    assert sampling_times(preset, 2) == [999, 250]
    assert sampling_times(preset, 4) == [999, 749, 500, 250]
    assert sampling_times(Preset(name="x", source="x", times=(399,)), 1) == [399]
    for times, steps, said in (((399,), 2, r"asked for 2 steps, and has one \(times=\[399\]\)"), ((999, 499), 0, "at least 1")):
        with pytest.raises(GeneratorError, match=said):
            sampling_times(Preset(name="x", source="x", times=times), steps)


def test_decoded_images_are_images(generator):
    images = generator.decode(generator.rollout(["a cat"], [0]).z2)
    assert images.shape == (1, 3, 128, 128)
    assert 0 <= images.min() <= images.max() <= 1


def test_full_precision_files_load_too(tmp_path):
    assert load_generator(str(build_sdxl(tmp_path / "full", variant=None))).latent_space.channels == 4


def test_unknown_and_broken_generators_are_named_errors(tmp_path):
    with pytest.raises(GeneratorError, match="did you mean 'tiny-signs'"):
        load_generator("tiny-sign")
    with pytest.raises(GeneratorError, match=r"no model_index.json"):
        load_generator(str(tmp_path))
    folder = build_sdxl(tmp_path / "broken")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"x")
    with pytest.raises(GeneratorError, match="cannot be loaded"):
        load_generator(str(folder))
    with pytest.raises(GeneratorError, match="scheduler dict is not known"):
        preset_for("x", {})


def test_presets_are_valid_and_turbo_is_ancestral():
    assert presets()["sdxl-turbo"].sampler == "euler_ancestral"
    assert presets()["tiny-signs"].prompts == "signs-train"
