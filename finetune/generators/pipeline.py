"""`SDXLGenerator`: a diffusers SDXL pipeline that rolls out in two steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from diffusers.models.attention_processor import AttnProcessor

from finetune.errors import GeneratorError
from finetune.generators.preset import Preset, preset_for, presets
from finetune.generators.rollout import first_input, next_input, predict_x0, sampling_times, transition
from reward_zoo.devices import pick_device
from reward_zoo.errors import did_you_mean, first_line
from surrogate.types import LatentSpace, Rollout, TextConditioning

# Latent positions up to which a CPU uses plain attention: half the time of the fused backward pass on tiny-signs (256).
# On large latents it would hold every score matrix in memory (16,384² at 1024 px).
SMALL = 1024


def load_generator(name: str, device: str = "auto") -> SDXLGenerator:
    """Load a generator: a preset's name, a pipeline folder, or a hub id; onto a device, see `pick_device`.

    Raises:
        GeneratorError: no such generator, files missing, or not of SDXL's architecture.
        SpecError: no such device.
    """
    chosen = pick_device(device)
    preset = presets().get(name)
    source = preset.source if preset else name
    if source.startswith("package:"):
        source = str(Path(__file__).parent / source.removeprefix("package:"))
    if not preset and not Path(source).is_dir() and name.count("/") != 1:
        raise GeneratorError(f"unknown generator {name!r}; {did_you_mean(name, presets())} (or a pipeline folder, or a hub id)")
    pipeline = _load_pipeline(name, source)
    if pipeline.unet.config.addition_embed_type != "text_time":
        raise GeneratorError(f"generator {name}: its UNet is not of SDXL's architecture (no text_time conditioning)")
    return SDXLGenerator(pipeline, preset or preset_for(name, pipeline.scheduler), chosen)


def _load_pipeline(name: str, source: str) -> StableDiffusionXLPipeline:
    folder = Path(source)
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        raise GeneratorError(f"generator {name}: {folder} has no model_index.json; give a diffusers pipeline folder")
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    fp16 = folder.is_dir() and any((folder / "unet").glob("*.fp16.safetensors"))
    try:
        return StableDiffusionXLPipeline.from_pretrained(source, variant="fp16" if fp16 else None, add_watermarker=False)
    except Exception as error:
        reason = first_line(error)
        raise GeneratorError(
            f"generator {name}: the pipeline cannot be loaded ({reason}); check the folder, or the network and the hub id"
        ) from error


class SDXLGenerator:
    """A two-step generator; satisfies `surrogate.types.Generator`.

    What it gives lies on its device; what it takes may lie anywhere.
    """

    def __init__(self, pipeline: StableDiffusionXLPipeline, preset: Preset, device: torch.device | None = None) -> None:
        self.pipeline, self.preset, self.name = pipeline, preset, preset.name
        self.unet, self.vae = pipeline.unet, pipeline.vae
        for module in (self.unet, self.vae, pipeline.text_encoder, pipeline.text_encoder_2):
            module.float().to(device or pipeline.device).requires_grad_(False).eval()
        self.alphas_cumprod = DDPMScheduler.from_config(pipeline.scheduler.config).alphas_cumprod
        self.prediction_type = pipeline.scheduler.config.prediction_type
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        if self.device.type == "cpu":
            self.unet.to(memory_format=torch.channels_last)
            self.vae.to(memory_format=torch.channels_last)
            if height * width <= SMALL:
                self.unet.set_attn_processor(AttnProcessor())
        self.latent_space = LatentSpace(self.unet.config.in_channels, height, width, float(self.vae.config.scaling_factor))
        self.image_size = (height * pipeline.vae_scale_factor, width * pipeline.vae_scale_factor)
        self._encoded: dict[str, TextConditioning] = {}  # on the CPU: a few hundred KB a prompt

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return self.unet.device

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextConditioning:
        """Text conditioning of the prompts; each is encoded once, and alone, so that its bits never depend on company."""
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._encoded:
                self._encoded[prompt] = self.encode_passing([prompt]).to("cpu")
        return TextConditioning.stack([self._encoded[prompt] for prompt in prompts]).to(self.device)

    @torch.no_grad()
    def encode_passing(self, prompts: Sequence[str]) -> TextConditioning:
        """Text conditioning of prompts that will not come again: encoded together, kept nowhere."""
        with torch.autocast(self.device.type, enabled=False):  # whatever the caller's precision is
            hidden, _, pooled, _ = self.pipeline.encode_prompt(list(prompts), do_classifier_free_guidance=False)
        height, width = self.image_size
        time_ids = hidden.new_tensor([(height, width, 0, 0, height, width)]).expand(len(prompts), -1)
        return TextConditioning(hidden, pooled, time_ids, tuple(prompts))

    def noises(self, seeds: Sequence[int], count: int = 2) -> torch.Tensor:
        """The initial and the between-steps noises of each seed, count×B×4×h×w; a larger count only adds to them."""
        space = self.latent_space
        shape = (space.channels, space.height, space.width)
        streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        drawn = [torch.stack([torch.randn(shape, generator=rng) for rng in streams]) for _ in range(count)]
        return torch.stack(drawn).to(self.device)

    def x0(self, noisy: torch.Tensor, time: int, conditioning: TextConditioning) -> tuple[torch.Tensor, torch.Tensor]:
        """`rollout.predict_x0` with this generator's UNet and schedule."""
        bf16 = self.preset.bf16
        return predict_x0(self.unet, noisy, time, conditioning, self.alphas_cumprod, self.prediction_type, bf16=bf16)

    def inputs_second(self, z1: torch.Tensor, seen: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
        """`rollout.next_input` between this generator's two times."""
        return next_input(z1, seen, fresh, self.preset, self.alphas_cumprod, self.preset.times)

    def transition(self, z1: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`rollout.transition` between this generator's two times."""
        return transition(z1, seen, self.preset, self.alphas_cumprod, self.preset.times)

    def inputs_first(self, noise: torch.Tensor) -> torch.Tensor:
        """`rollout.first_input` with this generator's preset."""
        return first_input(noise, self.preset, self.alphas_cumprod)

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], seeds: Sequence[int], num_inference_steps: int) -> list[torch.Tensor]:
        """x0 after each of `num_inference_steps` network calls; row i depends on prompt i and seed i alone."""
        conditioning = self.encode(prompts)
        noise = self.noises(seeds, max(2, num_inference_steps))
        times = sampling_times(self.preset, num_inference_steps)
        noisy, found = self.inputs_first(noise[0]), []
        for step, time in enumerate(times):
            x0, seen = self.x0(noisy, time, conditioning)
            found.append(x0)
            if step + 1 < len(times):
                between = (time, times[step + 1])
                noisy = next_input(x0, seen, noise[step + 1], self.preset, self.alphas_cumprod, between)
        return found

    def rollout(self, prompts: Sequence[str], seeds: Sequence[int], extra_steps: int = 0) -> Rollout:
        """z1 and z2 of each (prompt, seed), and the last of `extra_steps` calls if there are any."""
        z1, z2 = self.sample(prompts, seeds, 2)
        stages = {1: z1, 2: z2}
        if extra_steps > 2:
            stages[extra_steps] = self.sample(prompts, seeds, extra_steps)[-1]
        return Rollout(list(prompts), list(seeds), stages)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents → images B×3×H×W in [0, 1]."""
        return self.decode_with_gradient(latents)

    def decode_with_gradient(self, latents: torch.Tensor) -> torch.Tensor:
        """The same, for rewards that are climbed through the pixels."""
        latents = latents.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.preset.bf16):
            images = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return (images.float() / 2 + 0.5).clamp(0, 1)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Images B×3×H×W in [0, 1] → scaled latents, with gradient; H and W are `image_size`."""
        return self.vae.encode(images.to(self.device) * 2 - 1).latent_dist.mean * self.vae.config.scaling_factor
