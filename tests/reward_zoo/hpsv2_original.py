"""Runs with the packages of hpsv2_original.txt on its path: seeded weights in HPSv2's format, and the original's scores.

python hpsv2_original.py FOLDER: reads FOLDER/tiny-hps.json, images/NN.png and prompts.json; writes checkpoint.pt and
scores.json. The steps are those of the package's `img_score.score`, which can load the 4 GB model alone.
"""

import json
import sys
from pathlib import Path

import torch
from hpsv2.src.open_clip import add_model_config, create_model_and_transforms, get_tokenizer
from PIL import Image

folder = Path(sys.argv[1])
add_model_config(folder / "tiny-hps.json")
torch.manual_seed(0)
model, _, preprocess = create_model_and_transforms(
    "tiny-hps",
    light_augmentation=True,
    aug_cfg={},
    output_dict=True,
    with_score_predictor=False,
    with_region_predictor=False,
)
model.eval()
torch.save({"state_dict": model.state_dict()}, folder / "checkpoint.pt")
scores = []
for number, prompt in enumerate(json.loads((folder / "prompts.json").read_text())):
    image = preprocess(Image.open(folder / "images" / f"{number:02d}.png"))[None]
    with torch.no_grad():
        found = model(image, get_tokenizer("tiny-hps")([prompt]))
    scores.append((found["image_features"] @ found["text_features"].T).item())
(folder / "scores.json").write_text(json.dumps(scores))
