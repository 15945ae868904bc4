"""Few-step sampling in variance-preserving form, with x0 always in float32.

z1 = x0 after one network call; z2 = x0 after a second one on z1 with noise put back, and so on. With √ᾱ and σ of the
next time, the next input is mean + std·ε with new noise ε, and ε̂ the noise that the last call saw:

lcm              mean √ᾱ·x0                    std σ
tcd              mean √ᾱ·x0 + √ᾱ·k·ε̂           std √(1 − ᾱ/ᾱ₀)    (k = √((1 − ᾱ₀)/ᾱ₀) = 0.029, ᾱ₀ that of time 0)
ddim, euler      mean √ᾱ·x0 + σ·ε̂              std 0
euler_ancestral  mean √ᾱ·(x0 + s_down·ε̂)       std √ᾱ·s_up        (s as EulerAncestralDiscreteScheduler has it)

tcd is TCDScheduler with eta = 1: all noise is drawn anew, but for the trace that its time 0 still holds.
"""

from __future__ import annotations

import torch

from finetune.errors import GeneratorError
from finetune.generators.preset import Preset
from surrogate.types import TextConditioning


def predict_x0(
    unet: torch.nn.Module,
    noisy: torch.Tensor,
    time: int,
    conditioning: TextConditioning,
    alphas_cumprod: torch.Tensor,
    prediction_type: str,
    *,
    guidance: torch.Tensor | None = None,
    compute: torch.dtype = torch.float32,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean latents and noise that the UNet sees in `noisy` (B×4×h×w) at `time`, both float32.

    Args:
        unet: of SDXL's architecture.
        noisy: latents of unit variance.
        time: training time, 0 to 999.
        conditioning: of B prompts.
        alphas_cumprod: the training noise schedule, (1000,).
        prediction_type: what the UNet predicts: epsilon, v_prediction or sample (x0).
        guidance: embedded guidance (1×D), for a UNet with `time_cond_proj_dim` D.
        compute: what the network runs in. At t=999 x0 has 14.65 times the error of an epsilon.
    """
    root, sigma = alphas_cumprod[time].sqrt(), (1 - alphas_cumprod[time]).sqrt()
    times = torch.full((len(noisy),), time, device=noisy.device)
    extra = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
    told = None if guidance is None else guidance.to(noisy).expand(len(noisy), -1)
    with torch.autocast(noisy.device.type, compute, enabled=compute != torch.float32):
        output = unet(noisy, times, conditioning.prompt_embeds, timestep_cond=told, added_cond_kwargs=extra).sample
    output = output.float()
    if prediction_type == "epsilon":
        return (noisy - sigma * output) / root, output
    if prediction_type == "v_prediction":
        return root * noisy - sigma * output, sigma * noisy + root * output
    return output, (noisy - root * output) / sigma


def first_input(noise: torch.Tensor, preset: Preset, alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """What the first call sees: Euler schedulers start from σ·noise brought to unit variance, the others from noise."""
    if preset.sampler.startswith("euler"):
        return noise * (1 - alphas_cumprod[preset.times[0]]).sqrt()
    return noise


def sampling_times(preset: Preset, steps: int) -> list[int]:
    """Training times of `steps` network calls: the preset's own as far as they go, else evenly down from its first.

    Raises:
        GeneratorError: fewer than one, or more than one of a one-step generator.
    """
    if steps < 1:
        raise GeneratorError(f"generator {preset.name}: asked for {steps} steps; at least 1")
    if steps <= len(preset.times):
        return list(preset.times[:steps])
    if len(preset.times) == 1:
        raise GeneratorError(f"generator {preset.name}: asked for {steps} steps, and has one (times={list(preset.times)})")
    return [round(preset.times[0] * (1 - step / steps)) for step in range(steps)]


def transition(
    x0: torch.Tensor, seen: torch.Tensor, preset: Preset, alphas_cumprod: torch.Tensor, times: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (B×4×h×w) and standard deviation (a scalar tensor) of the second of two times' input; see the module's table.

    Args:
        x0: clean latents found at the first time.
        seen: the noise found with them.
        preset: says which sampler.
        alphas_cumprod: the training noise schedule, (1000,).
        times: training times of the two calls, falling.
    """
    first, second = (alphas_cumprod[time] for time in times)
    root, sigma = second.sqrt(), (1 - second).sqrt()
    if preset.sampler == "lcm":
        return root * x0, sigma
    if preset.sampler in ("ddim", "euler"):
        return root * x0 + sigma * seen, torch.zeros_like(sigma)
    if preset.sampler == "tcd":
        trace = ((1 - alphas_cumprod[0]) / alphas_cumprod[0]).sqrt()
        return root * (x0 + trace * seen), (1 - second / alphas_cumprod[0]).sqrt()
    start, end = ((1 - first) / first).sqrt(), ((1 - second) / second).sqrt()
    up = (end**2 * (start**2 - end**2) / start**2).sqrt()
    down = (end**2 - up**2).sqrt()
    return root * (x0 + down * seen), root * up


def next_input(
    x0: torch.Tensor,
    seen: torch.Tensor,
    fresh: torch.Tensor,
    preset: Preset,
    alphas_cumprod: torch.Tensor,
    times: tuple[int, int],
) -> torch.Tensor:
    """x0, found at the first of two times, with noise put back to the second: mean + std·fresh of `transition`."""
    mean, std = transition(x0, seen, preset, alphas_cumprod, times)
    return mean + std * fresh
