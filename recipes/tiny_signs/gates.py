"""How well the signs read: painted ones, the autoencoder's copies of them, and the packed pipeline's own.

The recipe's numbers in one command: OCR's `ned` (RapidOCR) over `signs-test`, one picture a prompt.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

import reward_zoo
from recipes.tiny_signs import data
from recipes.tiny_signs.loop import to_tensor
from recipes.tiny_signs.unet import TextReader, read_scores
from reward_zoo.prompts import quoted_text

FOLDER = Path("finetune/generators/tiny_signs")


def parse(prompt: str) -> tuple[str, str, str]:
    """Word, sign colour and letter colour of a sign's prompt."""
    sign, letter = re.search(r"([a-z]+) (?:sign|board)\b", prompt), re.search(r"\bin ([a-z]+)", prompt)
    return quoted_text(prompt), sign[1], letter[1]


@torch.no_grad()
def autoencoder_scores(vae: AutoencoderKL, prompts: list[str]) -> dict[str, float]:
    """Mean `ned` of painted signs and of their reconstructions."""
    rng, reward = random.Random(9), reward_zoo.load("ocr")
    painted = to_tensor([data.paint(*parse(prompt), rng) for prompt in prompts])
    copies = vae.decode(vae.encode(painted).latent_dist.mean).sample
    images = {"painted": painted, "reconstructed": copies}
    return {k: reward(images=(x / 2 + 0.5).clamp(0, 1), prompts=prompts).values.mean().item() for k, x in images.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=FOLDER / "pipeline")
    options = parser.parse_args()
    prompts = (FOLDER / "prompts" / "signs-test.txt").read_text().splitlines()
    vae = AutoencoderKL.from_pretrained(options.pipeline / "vae").float().eval()
    unet = UNet2DConditionModel.from_pretrained(options.pipeline / "unet").float().eval()
    scores = read_scores(vae, unet, TextReader(options.pipeline), prompts)
    print(json.dumps({**autoencoder_scores(vae, prompts), **scores}))
