"""Stage 1: the autoencoder. 32×128 pictures ↔ 4×8×32 latents (a letter spans five positions)."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from recipes.tiny_signs.loop import cosine, held_out_words, load_state, save_state, sign_batches
from reward_zoo.devices import quick


def build_vae() -> AutoencoderKL:
    """An AutoencoderKL of SDXL's architecture with three stages."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        mid_block_add_attention=False,
        sample_size=128,
        force_upcast=False,
    )


def edges(pictures: torch.Tensor) -> torch.Tensor:
    """Horizontal and vertical differences: what makes letters sharp."""
    return torch.cat([pictures.diff(dim=-1)[..., :-1, :], pictures.diff(dim=-2)[..., :-1]], dim=1)


def train(work: Path, *, steps: int, batch_size: int, learning_rate: float) -> None:
    """Train the autoencoder and save it, with its scaling factor, to `work/vae`."""
    torch.manual_seed(0)
    vae = build_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=learning_rate, weight_decay=0.0)
    start, checkpoint = 0, work / "vae.pt"
    if state := load_state(checkpoint):
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    batches = sign_batches(seed=1 + start, batch_size=batch_size, held_out=held_out_words(work))
    began = time.time()
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine(step, steps)
        _, pictures = next(batches)
        pictures = pictures.to(memory_format=torch.channels_last)
        with quick(torch.device("cpu")):
            posterior = vae.encode(pictures).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        decoded = decoded.float()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        error = F.l1_loss(decoded, pictures) + F.mse_loss(decoded, pictures)
        loss = error + F.l1_loss(edges(decoded), edges(pictures)) + 1e-3 * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"vae {step}/{steps} error {error.item():.4f} kl {kl.item():.2f} {time.time() - began:.0f}s", flush=True)
        if step % 200 == 199 or step == steps - 1:
            save_state(checkpoint, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step + 1)
    with torch.no_grad():
        latents = torch.cat([vae.encode(next(batches)[1]).latent_dist.mean for _ in range(16)])
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    vae.save_pretrained(work / "vae")
    print("latent mean/std per channel", latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    options = parser.parse_args()
    train(options.work, steps=options.steps, batch_size=options.batch_size, learning_rate=options.learning_rate)
