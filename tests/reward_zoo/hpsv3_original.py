"""Runs in the environment of hpsv3_original.txt: seeded weights in the original's format, and its own scores.

python hpsv3_original.py FOLDER: reads FOLDER/tokenizer.json, settings.json, images/NN.png and prompts.json; writes
HPSv3.safetensors, config.json, preprocessor_config.json and scores.json.
"""

import importlib.util
import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import Qwen2TokenizerFast, Qwen2VLConfig, Qwen2VLImageProcessor, Qwen2VLProcessor
from transformers.trainer import Trainer

UNUSED = ["datasets", "fire", "matplotlib", "omegaconf", "pandas", "peft", "prettytable", "trl", "trl.trainer"]
UNUSED += ["matplotlib.pyplot", "matplotlib.patches", "torch.utils.tensorboard", "torch.utils.tensorboard.summary"]
for name in UNUSED:
    sys.modules[name] = MagicMock(__spec__=importlib.util.spec_from_loader(name, None))
sys.modules["trl"].RewardTrainer = Trainer

from hpsv3.inference import HPSv3RewardInferencer  # noqa: E402 - it imports all its training code
from hpsv3.model.qwen2vl_trainer import Qwen2VLRewardModelBT  # noqa: E402

folder = Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())
words = str(folder / "tokenizer.json")
tokenizer = Qwen2TokenizerFast(tokenizer_file=words, padding_side="right", **settings["tokenizer"])
tokenizer.add_special_tokens({"additional_special_tokens": ["<|Reward|>"]})
config = Qwen2VLConfig(**settings["config"])
torch.manual_seed(0)
model = Qwen2VLRewardModelBT(
    config, output_dim=2, special_token_ids=[tokenizer.convert_tokens_to_ids("<|Reward|>")], rm_head_type="ranknet"
)
model.resize_token_embeddings(len(tokenizer))
for parameter in model.parameters():  # large enough that pixels and words matter
    if parameter.ndim > 1:
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
model.config.pad_token_id = tokenizer.pad_token_id
images = Qwen2VLImageProcessor()
inferencer = HPSv3RewardInferencer.__new__(HPSv3RewardInferencer)  # past the download of the published weights
inferencer.model, inferencer.device, inferencer.use_special_tokens = model.eval(), "cpu", True
inferencer.processor = Qwen2VLProcessor(images, tokenizer, chat_template=settings["chat_template"])
save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "HPSv3.safetensors")
config.save_pretrained(folder)
images.save_pretrained(folder)
prompts = json.loads((folder / "prompts.json").read_text())
pictures = [Image.open(path) for path in sorted((folder / "images").iterdir())]
with torch.no_grad():
    (folder / "scores.json").write_text(json.dumps(inferencer.reward(pictures, prompts).tolist()))
