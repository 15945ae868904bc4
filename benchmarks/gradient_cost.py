"""What one reward gradient costs at SDXL's true shape: through a latent surrogate, or through the VAE decoder and a ViT.

    python -m benchmarks.gradient_cost --sizes 512 1024 --batch-size 1          # on a GPU if there is one
    python -m benchmarks.gradient_cost --sizes 256 --device cpu                 # fits into 24 GB

Random float32 weights under bfloat16 autocast: neither time nor memory depends on the values. Peak memory is the device's
(CPU: the largest resident set of a process of its own), weights included. The gradient is that of the score to the latents,
as in fine-tuning; no weight takes one. `pixels` is what ReFL or DRaFT pay: the decoder, then a ViT-L/16 as ImageReward's.
Needs torch, diffusers and timm alone, beside this repository; nothing is fetched.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import timm
import torch
from diffusers import AutoencoderKL

from benchmarks.cases import run_cases
from reward_zoo.preprocessing import resize
from surrogate.backbones.checkpoints import SDXL, empty_unet
from surrogate.backbones.latent_cnn import LatentCNN
from surrogate.backbones.latent_vit import LatentViT
from surrogate.backbones.pixel_cnn import PixelCNN
from surrogate.backbones.sdxl import SDXLBackbone
from surrogate.heads.conv import ConvHead
from surrogate.model import Part, Surrogate
from surrogate.types import LatentSpace, TextConditioning

CASES = ("pixels", "pixel-cnn", "full", "encoder", "latent-cnn", "latent-vit")
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
}
REPEATS = 3


def build(case: str, size: int, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Latents (B×4×h×w) → scores (B,)."""
    if case == "pixels":
        return _through_pixels(device)
    surrogate = surrogate_of(case, size, device)
    told = {"prompt_embeds": (77, 2048), "pooled": (1280,), "time_ids": (6,)}

    def score(latents: torch.Tensor) -> torch.Tensor:
        made = {name: torch.full((len(latents), *shape), 0.1, device=device) for name, shape in told.items()}
        return surrogate.score(latents, TextConditioning(**made, prompts=("a",) * len(latents)))

    return score


def surrogate_of(case: str, size: int, device: torch.device) -> Surrogate:
    """A surrogate on one of the backbones, for pictures of `size` pixels."""
    side = size // 8
    backbone = _backbone(case, side)
    space = LatentSpace(4, side, side, 0.13025)
    head = ConvHead(backbone.channels)
    surrogate = Surrogate(backbone, [head], parts=[Part("r", 0.0, 1.0)], latent_space=space, score_time=0)
    alphas = backbone.alphas_cumprod.clone()
    surrogate.to_empty(device=device) if case in ("full", "encoder") else surrogate.to(device)
    fill(surrogate)
    backbone.alphas_cumprod = alphas.to(device)
    return surrogate


def _backbone(case: str, side: int) -> torch.nn.Module:
    schedule = {"alphas_cumprod": torch.linspace(0.999, 0.005, 1000)}
    if case == "latent-cnn":
        return LatentCNN(**schedule, in_channels=4, rows=side)
    if case == "latent-vit":
        return LatentViT(**schedule, in_channels=4, height=side, width=side, text_width=2048)
    if case == "pixel-cnn":
        return PixelCNN(**schedule, vae=AutoencoderKL(**VAE), rows=side)
    return SDXLBackbone(empty_unet(SDXL, case), depth=case, **schedule, prediction_type="epsilon", owned=True)


def _through_pixels(device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    vae, tower = AutoencoderKL(**VAE), pixel_tower(device)
    vae.encoder = vae.quant_conv = None
    fill(vae.to(device).eval())

    def score(latents: torch.Tensor) -> torch.Tensor:
        pixels = (vae.decode(latents / 0.13025).sample.float() / 2 + 0.5).clamp(0, 1)
        return tower(resize(pixels, 224, 224))[:, 0]

    return score


def pixel_tower(device: torch.device) -> torch.nn.Module:
    """A ViT-L/16 with one output."""
    tower = timm.create_model("vit_large_patch16_224", pretrained=False, num_classes=1).to(device).eval()
    fill(tower)
    return tower


@torch.no_grad()
def fill(module: torch.nn.Module) -> None:
    """Freeze it, with numbers of a sensible size in it."""
    module.requires_grad_(False)
    for parameter in module.parameters():
        parameter.uniform_(-0.02, 0.02)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.fill_(0.5)


def measure(case: str, size: int, batch_size: int, device: torch.device) -> dict[str, float | str | int]:
    """Seconds of one gradient (the median of three, after one that does not count) and gigabytes at the peak."""
    score, seconds = build(case, size, device), []
    for number in range(1 + REPEATS):
        latents = torch.randn(batch_size, 4, size // 8, size // 8, device=device).requires_grad_(True)
        synchronise(device)
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            total = score(latents).float().sum()
        (gradient,) = torch.autograd.grad(total, latents)
        synchronise(device)
        if number:
            seconds.append(time.perf_counter() - began)
    if gradient.shape != latents.shape:
        raise RuntimeError(f"{case}: a gradient of shape {tuple(gradient.shape)}")
    return {
        **{"case": case, "size": size, "batch_size": batch_size, "device": device.type},
        **{"seconds": sorted(seconds)[REPEATS // 2], "gigabytes": peak_bytes(device) / 2**30},
    }


def peak_bytes(device: torch.device) -> int:
    """The most memory that was in use: the device's, or this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def synchronise(device: torch.device) -> None:
    """Wait for what the device was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure every case, and print ratios to `pixels`."""
    columns = (
        ("time", lambda row, base: f"{row['seconds']:.2f} s"),
        ("peak memory", lambda row, base: f"{row['gigabytes']:.2f} GB"),
        ("times faster", lambda row, base: f"{base['seconds'] / row['seconds']:.2f} x" if base else ""),
        ("times smaller", lambda row, base: f"{base['gigabytes'] / row['gigabytes']:.2f} x" if base else ""),
    )
    run_cases(__doc__, CASES, measure, "pixels", columns)


if __name__ == "__main__":
    main()
