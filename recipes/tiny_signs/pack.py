"""Last stage: everything as one diffusers SDXL pipeline folder in half precision, the package's data."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, LCMScheduler, StableDiffusionXLPipeline

from recipes.tiny_signs.loop import load_state
from recipes.tiny_signs.unet import SCHEDULE, TextReader, build_unet


def pack(work: Path, out: Path) -> None:
    """Write the pipeline of `work`'s stages to `out`."""
    reader = TextReader(work / "text")
    unet = build_unet()
    unet.load_state_dict(load_state(work / "unet.pt")["ema"])
    vae = AutoencoderKL.from_pretrained(work / "vae")
    vae.register_to_config(_name_or_path="tiny-signs")  # not a path of this machine
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=reader.encoders[0],
        text_encoder_2=reader.encoders[1],
        tokenizer=reader.tokenizer,
        tokenizer_2=reader.tokenizer,
        unet=unet,
        scheduler=LCMScheduler(**SCHEDULE),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    if out.exists():
        shutil.rmtree(out)
    pipeline.to(torch.float16).save_pretrained(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--out", type=Path, default=Path("finetune/generators/tiny_signs/pipeline"))
    options = parser.parse_args()
    pack(options.work, options.out)
