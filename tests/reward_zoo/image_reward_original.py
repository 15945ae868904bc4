"""Runs in the environment of the reward image_reward_original: seeded weights in the original's format, and its own scores.

python image_reward_original.py FOLDER: reads FOLDER/vocab.txt, images/NN.png and prompts.json; writes ImageReward.pt and
scores.json.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import BertTokenizer

folder = Path(sys.argv[1])
BertTokenizer.from_pretrained = classmethod(lambda kind, *names, **options: kind(str(folder / "vocab.txt")))

from ImageReward.ImageReward import ImageReward  # noqa: E402 - it asks for its tokenizer's class on import

med_config = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "add_type_embeddings": False,
    "vocab_size": 30524,
    "encoder_width": 1024,
    "add_cross_attention": True,
}
(folder / "med_config.json").write_text(json.dumps(med_config))
torch.manual_seed(0)
model = ImageReward(device="cpu", med_config=str(folder / "med_config.json")).eval()
for parameter in model.parameters():  # large enough that pixels and words matter
    if parameter.ndim > 1:
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
torch.save(model.state_dict(), folder / "ImageReward.pt")
prompts = json.loads((folder / "prompts.json").read_text())
with torch.no_grad():
    scores = [model.score(prompt, Image.open(folder / "images" / f"{number:02d}.png")) for number, prompt in enumerate(prompts)]
(folder / "scores.json").write_text(json.dumps(scores))
