"""Few-step sampling in variance-preserving form, with x0 always in float32.

z1 = x0 after one network call; z2 = x0 after a second one on z1 with noise put back, and so on. With √ᾱ and σ of the
next time, the next input is √ᾱ·x0 + carry·ε̂ + fresh·ε, where ε̂ is the noise the last call saw and ε new noise:

lcm              carry 0, fresh σ
ddim, euler      carry σ, fresh 0
euler_ancestral  carry √ᾱ·s_down, fresh √ᾱ·s_up    (s in the variance-exploding units of EulerAncestralDiscreteScheduler)
"""

from __future__ import annotations

import torch

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
    bf16: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean latents and noise that the UNet sees in `noisy` (B×4×h×w) at `time`, both float32.

    `bf16` runs the network in bfloat16; not for epsilon networks, whose error grows 14.65 times at t=999.
    """
    root, sigma = alphas_cumprod[time].sqrt(), (1 - alphas_cumprod[time]).sqrt()
    times = torch.full((len(noisy),), time, device=noisy.device)
    extra = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
    with torch.autocast(noisy.device.type, torch.bfloat16, enabled=bf16):
        output = unet(noisy, times, conditioning.prompt_embeds, added_cond_kwargs=extra).sample
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
    """Training times of `steps` network calls: the preset's own for 1 and 2, else evenly down from its first."""
    if steps <= 2:
        return list(preset.times[:steps])
    return [round(preset.times[0] * (1 - step / steps)) for step in range(steps)]


def transition(
    x0: torch.Tensor, seen: torch.Tensor, preset: Preset, alphas_cumprod: torch.Tensor, times: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (as x0) and standard deviation (a scalar, 0 without fresh noise) of the input at the second of two times."""
    first, second = (alphas_cumprod[time] for time in times)
    root, sigma = second.sqrt(), (1 - second).sqrt()
    if preset.sampler == "lcm":
        return root * x0, sigma
    if preset.sampler in ("ddim", "euler"):
        return root * x0 + sigma * seen, torch.zeros(())
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
    """x0, found at the first of two times, with noise put back to the second; see the module's table."""
    mean, spread = transition(x0, seen, preset, alphas_cumprod, times)
    return mean + spread * fresh
