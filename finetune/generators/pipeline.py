"""`SDXLGenerator`: a diffusers SDXL pipeline that rolls out in one or two steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from diffusers.models.attention_processor import AttnProcessor

from finetune.errors import GeneratorError
from finetune.generators.preset import Preset, find_preset, preset_for, presets
from finetune.generators.rollout import first_input, next_input, predict_x0, sampling_times, transition
from finetune.generators.text import PromptEncoder, identity_of
from finetune.generators.weights import load_encoders, load_pipeline, pipeline_folder
from reward_zoo.devices import computes_bfloat16, pick_device, pictures_at_once, quick
from reward_zoo.errors import did_you_mean
from surrogate.building import is_large
from surrogate.types import LatentSpace, Rollout, TextConditioning

# Latent positions up to which a CPU uses plain attention: half the time of the fused backward pass on tiny-signs (256).
# On large latents it would hold every score matrix in memory (16,384² at 1024 px).
SMALL = 1024
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_generator(
    name: str | Preset,
    device: str = "auto",
    *,
    precision: str = "float32",
    gradient_checkpointing: bool | None = None,
    text_cache: Path | None = None,
) -> SDXLGenerator:
    """Load a generator onto a device.

    Args:
        name: a preset's name, a preset of your own (a .yaml file), a pipeline folder, or a hub id.
        device: see `pick_device`.
        precision: of the frozen weights of UNet and text encoders: float32, bfloat16 or float16. x0 is found in float32
            in any case, and the autoencoder stays in float32 unless its `force_upcast` is off. For training: not float16.
        gradient_checkpointing: compute the UNet's activations twice instead of keeping them, and those of a UNet surrogate
            that is climbed. None: if it is as large as SDXL's.
        text_cache: a folder that remembers encoded prompts; the text encoders are loaded only if a prompt is not there.

    Raises:
        GeneratorError: no such generator, files missing or not fitting, not of SDXL's architecture, or no such precision.
        SpecError: no such device.
    """
    chosen = pick_device(device)
    if precision not in PRECISIONS:
        raise GeneratorError(f"precision {precision!r}: {did_you_mean(precision, PRECISIONS)}")
    preset = name if isinstance(name, Preset) else find_preset(name)
    if preset is None:
        if not Path(name).is_dir() and name.count("/") != 1:
            hint = did_you_mean(name, presets())
            raise GeneratorError(f"unknown generator {name!r}; {hint} (or a pipeline folder, a hub id, or a preset.yaml)")
        bare = Preset(name=name, source=name)
    dtype, source = PRECISIONS[precision], preset or bare
    pipeline = load_pipeline(source, dtype, encoders=text_cache is None)
    texts = None
    if text_cache is not None:
        load, identity = partial(load_encoders, source, dtype), identity_of(pipeline_folder(source), dtype)
        texts = PromptEncoder(pipeline, load=load, folder=text_cache, identity=identity)
    generator = SDXLGenerator(
        pipeline,
        preset or preset_for(name, pipeline.scheduler),
        chosen,
        precision=precision,
        gradient_checkpointing=gradient_checkpointing,
        texts=texts,
    )
    if isinstance(name, str):
        generator.name = name  # what loads it again, where its preset is called otherwise
    return generator


class SDXLGenerator:
    """A generator of one or two steps; satisfies `surrogate.types.Generator`.

    What it gives lies on its device; what it takes may lie anywhere. `load_generator` explains the arguments.
    """

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        preset: Preset,
        device: torch.device | None = None,
        *,
        precision: str = "float32",
        gradient_checkpointing: bool | None = None,
        texts: PromptEncoder | None = None,
    ) -> None:
        self.pipeline, self.preset, self.name = pipeline, preset, preset.name
        self.unet, self.vae = pipeline.unet, pipeline.vae
        dtype, place = PRECISIONS[precision], device or pipeline.device
        exact = torch.float32 if self.vae.config.force_upcast else dtype
        for module in (self.unet, self.vae, pipeline.text_encoder, pipeline.text_encoder_2):
            if module is not None:
                torch.nn.Module.to(module, place, exact if module is self.vae else dtype)  # diffusers' own warns of casts
                module.requires_grad_(False).eval()
        bf16 = preset.bf16 and dtype == torch.float32 and computes_bfloat16(self.device)
        self.compute = torch.bfloat16 if bf16 else dtype
        self.texts = texts or PromptEncoder(pipeline)
        self.alphas_cumprod = DDPMScheduler.from_config(pipeline.scheduler.config).alphas_cumprod
        self.prediction_type = preset.prediction_type or pipeline.scheduler.config.prediction_type
        self.guidance = _guidance(pipeline, preset)
        self.image_size, (height, width) = _sizes(pipeline, preset)
        if self.device.type == "cpu":
            self.unet.to(memory_format=torch.channels_last)
            self.vae.to(memory_format=torch.channels_last)
            if height * width <= SMALL:
                self.unet.set_attn_processor(AttnProcessor())
        if is_large(self.unet) if gradient_checkpointing is None else gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.latent_space = LatentSpace(self.unet.config.in_channels, height, width, float(self.vae.config.scaling_factor))

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return next(self.unet.parameters()).device  # `unet.device` looks through all modules first: 26 ms for SDXL's

    @property
    def extra_steps(self) -> int:
        """Network calls of samples beyond its own that are worth a label; 0: none."""
        return self.preset.extra_steps

    @property
    def num_steps(self) -> int:
        """Network calls of its samples: rollouts hold the stages 1 to `num_steps`."""
        return self.preset.num_steps

    def encode(self, prompts: Sequence[str]) -> TextConditioning:
        """Text conditioning of the prompts; each is encoded once, and alone, so that its bits never depend on company.

        Raises:
            GeneratorError: a prompt not encoded before `drop_text_encoders`.
        """
        return self._conditioning(prompts, *self.texts.one_by_one(prompts))

    def encode_passing(self, prompts: Sequence[str]) -> TextConditioning:
        """Text conditioning of prompts that will not come again: encoded together, kept nowhere."""
        return self._conditioning(prompts, *(self.texts.one_by_one if self.texts.dropped else self.texts.together)(prompts))

    def drop_text_encoders(self) -> None:
        """Free the text encoders' memory; from now on only prompts that were encoded are answered, and the empty one."""
        self.texts.drop()

    def _conditioning(self, prompts: Sequence[str], hidden: torch.Tensor, pooled: torch.Tensor) -> TextConditioning:
        height, width = self.image_size
        time_ids = hidden.new_tensor([(height, width, 0, 0, height, width)]).expand(len(prompts), -1)
        return TextConditioning(hidden, pooled, time_ids, tuple(prompts)).to(self.device)

    def noises(self, seeds: Sequence[int], count: int = 2) -> torch.Tensor:
        """The initial and the between-steps noises of each seed, count×B×4×h×w; a larger count only adds to them."""
        space = self.latent_space
        shape = (space.channels, space.height, space.width)
        streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        drawn = [torch.stack([torch.randn(shape, generator=rng) for rng in streams]) for _ in range(count)]
        return torch.stack(drawn).to(self.device)

    def x0(self, noisy: torch.Tensor, time: int, conditioning: TextConditioning) -> tuple[torch.Tensor, torch.Tensor]:
        """`rollout.predict_x0` with this generator's UNet, schedule, precision and guidance."""
        how = {"guidance": self.guidance, "compute": self.compute}
        return predict_x0(self.unet, noisy, time, conditioning, self.alphas_cumprod, self.prediction_type, **how)

    def inputs_first(self, noise: torch.Tensor) -> torch.Tensor:
        """`rollout.first_input` with this generator's preset."""
        return first_input(noise, self.preset, self.alphas_cumprod)

    def transition(self, z1: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`rollout.transition` between this generator's two times: mean and standard deviation of the second input."""
        return transition(z1, seen, self.preset, self.alphas_cumprod, self.preset.times)

    def inputs_second(self, z1: torch.Tensor, seen: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
        """`rollout.next_input` between this generator's two times."""
        return next_input(z1, seen, fresh, self.preset, self.alphas_cumprod, self.preset.times)

    def denoise(self, noises: torch.Tensor, conditioning: TextConditioning, steps: int) -> list[torch.Tensor]:
        """x0 after each of `steps` network calls, with gradient, from noises (at least steps×B×4×h×w, see `noises`).

        Raises:
            GeneratorError: more than one step of a one-step generator.
        """
        return [x0 for _, _, x0 in self.calls(noises, conditioning, steps)]

    def calls(
        self, noises: torch.Tensor, conditioning: TextConditioning, steps: int
    ) -> Iterator[tuple[torch.Tensor, int, torch.Tensor]]:
        """What the network is given in each call of `denoise`, at which time, and the x0 it finds."""
        times = sampling_times(self.preset, steps)
        noisy = self.inputs_first(noises[0])
        for step, time in enumerate(times):
            x0, seen = self.x0(noisy, time, conditioning)
            yield noisy, time, x0
            if step + 1 < len(times):
                between = (time, times[step + 1])
                noisy = next_input(x0, seen, noises[step + 1], self.preset, self.alphas_cumprod, between)

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], seeds: Sequence[int], num_inference_steps: int) -> list[torch.Tensor]:
        """x0 after each of `num_inference_steps` network calls; row i depends on prompt i and seed i alone.

        Raises:
            GeneratorError: more than one step of a one-step generator.
        """
        noises = self.noises(seeds, max(2, num_inference_steps))
        return self.denoise(noises, self.encode(prompts), num_inference_steps)

    def rollout(self, prompts: Sequence[str], seeds: Sequence[int], extra_steps: int = 0) -> Rollout:
        """x0 of each (prompt, seed) after 1 to `num_steps` calls, and the last of `extra_steps` calls if those are more."""
        stages = dict(enumerate(self.sample(prompts, seeds, self.num_steps), start=1))
        if extra_steps > self.num_steps:
            stages[extra_steps] = self.sample(prompts, seeds, extra_steps)[-1]
        return Rollout(list(prompts), list(seeds), stages)

    @property
    def at_once(self) -> int:
        """Pictures that its autoencoder takes at once."""
        return pictures_at_once(self.device, *self.image_size)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents → images B×3×H×W in [0, 1]."""
        return torch.cat([self.decode_with_gradient(part) for part in latents.split(self.at_once)])

    def decode_with_gradient(self, latents: torch.Tensor) -> torch.Tensor:
        """The same, for rewards that are climbed through the pixels."""
        latents = (latents.to(self.device) / self.vae.config.scaling_factor).to(self.vae.dtype)
        with quick(self.device, self.preset.bf16):
            images = self.vae.decode(latents).sample
        return (images.float() / 2 + 0.5).clamp(0, 1)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Images B×3×H×W in [0, 1] → scaled latents, with gradient; H and W are `image_size`."""
        parts = []
        for part in images.split(self.at_once):
            pixels = (part.to(self.device) * 2 - 1).to(self.vae.dtype)
            parts.append(self.vae.encode(pixels).latent_dist.mean.float() * self.vae.config.scaling_factor)
        return torch.cat(parts)

    def save_pipeline(self, folder: Path) -> None:
        """Write the whole pipeline as it is now, text encoders too, as diffusers loads it.

        Raises:
            GeneratorError: they were dropped.
        """
        self.texts.whole()
        self.pipeline.save_pretrained(folder)


def _guidance(pipeline: StableDiffusionXLPipeline, preset: Preset) -> torch.Tensor | None:
    """The embedding 1×D of w = guidance_scale − 1, for a UNet that takes one (LCM, arXiv 2310.04378)."""
    width, scale = pipeline.unet.config.time_cond_proj_dim, preset.guidance_scale
    if width is None and scale not in (None, 1):
        raise GeneratorError(
            f"preset {preset.name}: guidance_scale={scale:g}, and its UNet has no embedded guidance (time_cond_proj_dim); "
            "leave guidance_scale out"
        )
    if width is None:
        return None
    if scale is None:
        raise GeneratorError(
            f"generator {preset.name}: its UNet has embedded guidance (time_cond_proj_dim={width}); "
            "give guidance_scale in a preset.yaml, as 8.0"
        )
    return pipeline.get_guidance_scale_embedding(torch.tensor([scale - 1.0]), embedding_dim=width).to(pipeline.unet.device)


def _sizes(pipeline: StableDiffusionXLPipeline, preset: Preset) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of images in pixels, and of latents."""
    size, factor = pipeline.unet.config.sample_size, pipeline.vae_scale_factor
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    if preset.image_size is None:
        return (height * factor, width * factor), (height, width)
    if any(side % factor for side in preset.image_size):
        said = list(preset.image_size)
        raise GeneratorError(f"preset {preset.name}: image_size={said} must be multiples of {factor}")
    return preset.image_size, (preset.image_size[0] // factor, preset.image_size[1] // factor)
