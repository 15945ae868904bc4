"""The reverse of `pack`: a work folder from a pipeline, to train it further or on other signs.

The optimiser starts anew; everything else is as if the stages had been run.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from recipes.tiny_signs.loop import save_state


def unpack(pipeline: Path, work: Path) -> None:
    """Write the autoencoder, the text encoders and the UNet of `pipeline` into `work`, in full precision."""
    work.mkdir(parents=True, exist_ok=True)
    AutoencoderKL.from_pretrained(pipeline / "vae").float().save_pretrained(work / "vae")
    for name, kind in (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection)):
        kind.from_pretrained(pipeline / name).float().save_pretrained(work / "text" / name)
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(pipeline / name, work / "text" / name, dirs_exist_ok=True)
    weights = UNet2DConditionModel.from_pretrained(pipeline / "unet").float().state_dict()
    save_state(work / "unet.pt", model=weights, ema=weights, step=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path("finetune/generators/tiny_signs/pipeline"))
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    options = parser.parse_args()
    unpack(options.pipeline, options.work)
