"""Every preset against its published recipe, run by plain diffusers on tiny weights in the published layouts; and the traps."""

from dataclasses import dataclass, field, replace
from functools import cache

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionXLPipeline,
    TCDScheduler,
    UNet2DConditionModel,
)
from safetensors.torch import load_file

from finetune.generators.pipeline import load_generator
from finetune.generators.preset import presets
from finetune.lora import attach_lora, lora_off

PROMPT, SEED = "a cat", 3
TRACE = 0.00085  # 1 − ᾱ of time 0, which DDIM and TCD leave in what they call clean


@dataclass
class Recipe:
    """A model card: which files, which scheduler, which call."""

    scheduler: type | None  # None: the pipeline's own
    unet: str | None = None
    lora: str | None = None
    options: dict = field(default_factory=dict)  # of the scheduler
    call: dict = field(default_factory=dict)
    timesteps: list | None = None
    traced: bool = False  # whether the scheduler leaves TRACE


TRAILING = {"timestep_spacing": "trailing"}
RECIPES = {
    "sdxl-turbo": Recipe(None),
    "sdxl-lightning": Recipe(EulerDiscreteScheduler, "unet.safetensors", options=TRAILING),
    "sdxl-lightning-1step": Recipe(
        EulerDiscreteScheduler, "unet.safetensors", options={**TRAILING, "prediction_type": "sample"}
    ),
    "hyper-sdxl-1step": Recipe(LCMScheduler, "unet.safetensors", timesteps=[800]),
    "hyper-sdxl": Recipe(DDIMScheduler, lora="kohya.safetensors", options=TRAILING, traced=True),
    "hyper-sdxl-unified": Recipe(TCDScheduler, lora="lora.safetensors", call={"eta": 1.0}, traced=True),
    "dmd2-1step": Recipe(LCMScheduler, "unet.bin", timesteps=[399]),
    "dmd2": Recipe(LCMScheduler, "unet.bin", timesteps=[999, 499]),
    "lcm-lora-sdxl": Recipe(LCMScheduler, lora="lora.safetensors", call={"guidance_scale": 1.0}),
    "lcm-sdxl": Recipe(LCMScheduler, "guided", call={"guidance_scale": 8.0}),
    "lcm-ssd-1b": Recipe(LCMScheduler, "guided", call={"guidance_scale": 1.0}),
}


def here(name, folder, weights, **changes):
    """The preset of that name with tiny files in the places of the published ones."""
    recipe = RECIPES[name]
    files = {kind: str(weights[file]) for kind, file in (("unet", recipe.unet), ("lora", recipe.lora)) if file}
    return replace(presets()[name], **{"source": str(folder), "image_size": None, **files, **changes})


def published(recipe, folder, weights):
    """The pipeline as the model card builds it."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder, variant="fp16", torch_dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    if recipe.unet == "guided":
        pipeline.unet = UNet2DConditionModel.from_pretrained(weights["guided"], variant="fp16", torch_dtype=torch.float32)
    elif recipe.unet:
        file = weights[recipe.unet]
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
        pipeline.unet.load_state_dict(state)
    if recipe.lora:
        pipeline.load_lora_weights(weights[recipe.lora])
        pipeline.fuse_lora()
    if recipe.scheduler:
        pipeline.scheduler = recipe.scheduler.from_config(pipeline.scheduler.config, **recipe.options)
    return pipeline


def paint(pipeline, recipe, steps, **size):
    """The latents that the recipe's call gives."""
    how = {"timesteps": recipe.timesteps} if recipe.timesteps else {"num_inference_steps": steps}
    how = {"guidance_scale": 0.0, **how, **recipe.call, **size}
    rng = [torch.Generator().manual_seed(SEED)]
    return pipeline(PROMPT, generator=rng, output_type="latent", **how).images


def close(mine, theirs):
    return (mine - theirs).abs().max() <= 1e-4 * theirs.abs().max().clamp(min=1)


@pytest.fixture(scope="module")
def adapted(base, tiny_sdxl, weights):
    """Generators of `here`, loaded once; tests must not change them."""
    return cache(lambda name: load_generator(here(name, tiny_sdxl if name == "sdxl-turbo" else base, weights), "cpu"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_preset_is_its_recipe(name, adapted, base, tiny_sdxl, weights):
    recipe, folder, generator = RECIPES[name], tiny_sdxl if name == "sdxl-turbo" else base, adapted(name)
    stages = generator.rollout([PROMPT], [SEED]).stages
    assert list(stages) == list(range(1, generator.num_steps + 1))
    pipeline = published(recipe, folder, weights)
    conditioning, noises = generator.encode([PROMPT]), generator.noises([SEED])
    for steps, mine in stages.items():
        if recipe.timesteps and len(recipe.timesteps) != steps:
            continue  # the card says nothing of one step
        theirs = paint(pipeline, recipe, steps)
        if recipe.traced:
            time = generator.preset.times[steps - 1]
            noisy = generator.inputs_first(noises[0])
            if steps == 2:
                noisy = generator.inputs_second(*generator.x0(noisy, generator.preset.times[0], conditioning), noises[1])
            mine, seen = generator.x0(noisy, time, conditioning)
            assert torch.equal(mine, stages[steps])
            assert not close(mine, theirs)
            mine = (1 - TRACE) ** 0.5 * mine + TRACE**0.5 * seen
        assert close(mine, theirs)


def test_all_presets_but_the_embedded_one_have_a_recipe_here():
    assert {*RECIPES, "tiny-signs"} == set(presets())
    assert all(preset.source.endswith("xl-base-1.0") for preset in presets().values() if preset.sampler in ("ddim", "tcd"))


def test_the_base_pipelines_own_spacing_is_not_taken_over(base):
    """SDXL base says `leading`, which looks at t=501 and t=1: almost clean inputs, of which it never gets any."""
    generator = load_generator(str(base), "cpu")
    own = generator.pipeline.scheduler
    for steps, times in ((2, [501, 1]), (1, [1])):
        own.set_timesteps(steps)
        assert own.timesteps.tolist() == times
    assert (generator.preset.sampler, generator.preset.times) == ("euler", (999, 499))


def test_lcms_grid_is_dmd2s_at_two_steps_alone():
    scheduler = LCMScheduler()
    for steps, times in ((4, [999, 759, 499, 259]), (2, list(presets()["dmd2"].times))):
        scheduler.set_timesteps(steps)
        assert scheduler.timesteps.tolist() == times


def test_lcms_boundary_scalings_are_nothing_at_the_presets_times():
    scheduler = LCMScheduler()
    lcm = [preset for preset in presets().values() if preset.sampler == "lcm"]
    for time in {249, *(time for preset in lcm for time in preset.times)}:
        skip, out = scheduler.get_scalings_for_boundary_condition_discrete(time)
        assert abs(skip) < 1e-6
        assert abs(out - 1) < 1e-6


@pytest.mark.parametrize("name", [name for name in RECIPES if len(presets()[name].times) == 2])
def test_who_puts_fresh_noise_in(name, adapted):
    """Lightning and the N-step Hyper do not: all their variety is in the first noise."""
    generator = adapted(name)
    conditioning, noises = generator.encode([PROMPT]), generator.noises([SEED], 3)
    with torch.no_grad():
        one, other = (generator.denoise(noises[[0, fresh]], conditioning, 2)[-1] for fresh in (1, 2))
        z1, seen = generator.x0(generator.inputs_first(noises[0]), 999, conditioning)
    mean, std = generator.transition(z1, seen)
    assert torch.equal(mean + std * noises[1], generator.inputs_second(z1, seen, noises[1]))
    fixed = name in ("sdxl-lightning", "hyper-sdxl")
    assert torch.equal(one, other) == fixed == (std.item() == 0)


@pytest.mark.parametrize("size", [(64, 96), (128, 128)])
def test_time_ids_and_latents_are_of_the_image_size(size, tiny_sdxl):
    generator = load_generator(here("sdxl-turbo", tiny_sdxl, {}, image_size=size), "cpu")
    assert generator.encode([PROMPT]).time_ids.tolist() == [[*size, 0, 0, *size]]
    assert (generator.latent_space.height, generator.latent_space.width) == (size[0] // 8, size[1] // 8)
    recipe = RECIPES["sdxl-turbo"]
    theirs = paint(published(recipe, tiny_sdxl, {}), recipe, 2, height=size[0], width=size[1])
    assert close(generator.rollout([PROMPT], [SEED]).z2, theirs)
    assert presets()["sdxl-turbo"].image_size == (512, 512)


def test_another_autoencoder_decodes(base, weights):
    recipe, latents = RECIPES["dmd2"], torch.randn(1, 4, 16, 16)
    own, mended = (load_generator(here("dmd2", base, weights, **vae), "cpu") for vae in ({}, {"vae": str(weights["vae"])}))
    pipeline = published(recipe, base, weights)
    pipeline.vae = mended.vae
    with torch.no_grad():
        want = pipeline.vae.decode(latents / 0.13025).sample
    assert torch.allclose(mended.decode(latents), (want / 2 + 0.5).clamp(0, 1), atol=1e-5)
    assert not torch.allclose(mended.decode(latents), own.decode(latents), atol=1e-2)


@pytest.mark.parametrize(("one", "other"), [("dmd2", "lcm-lora-sdxl"), ("lcm-sdxl", "lcm-ssd-1b")])
def test_unets_loras_and_guidance_are_seen_in_samples(one, other, adapted):
    samples = [adapted(name).rollout([PROMPT], [SEED]).z1 for name in (one, other)]
    assert not torch.allclose(*samples, atol=1e-2)


def test_a_new_lora_trains_on_top_of_a_fused_one(base, weights):
    generator = load_generator(here("lcm-lora-sdxl", base, weights), "cpu")
    fused = generator.rollout([PROMPT], [SEED]).z1
    assert not torch.allclose(fused, load_generator(str(base), "cpu").rollout([PROMPT], [SEED]).z1, atol=1e-2)
    names = set(generator.unet.state_dict())
    assert not any("lora" in name for name in names)
    for parameter in attach_lora(generator.unet, rank=2, targets="attention", seed=0):
        torch.nn.init.normal_(parameter)
    assert not torch.allclose(generator.rollout([PROMPT], [SEED]).z1, fused, atol=1e-2)
    with lora_off(generator.unet):
        assert torch.allclose(generator.rollout([PROMPT], [SEED]).z1, fused, atol=1e-4)
