"""Tiny Qwen-VLs, saved as the published ones are: a Qwen2.5-VL folder, and HPSv3's single file in its own keys."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen2VLModel,
    Qwen2VLVideoProcessor,
)

from tests.tiny.blip import strong

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INSTRUCTION = "\nRate this image of: {text_prompt}\n\nRating: <|Reward|>\n"


def qwen_tokenizer() -> Qwen2Tokenizer:
    """Qwen's byte-level tokenizer without merges, special tokens and all."""
    vocabulary = {symbol: number for number, symbol in enumerate([*sorted(ByteLevel.alphabet()), "<|endoftext|>"])}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[], pad_token="<|endoftext|>", eos_token="<|im_end|>")
    tokenizer.add_tokens(SPECIAL, special_tokens=True)
    return tokenizer


def text_config(tokenizer: Qwen2Tokenizer) -> dict:
    """Two layers of two heads; positions in time, height and width share a head's eight frequencies."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    }


def token_ids(tokenizer: Qwen2Tokenizer) -> dict[str, int]:
    """How a config names the places of pictures."""
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(SPECIAL[2:]), strict=True))


def build_qwen(folder: Path) -> Path:
    """A folder as of Qwen/Qwen2.5-VL-7B-Instruct."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"fullatt_block_indexes": [1], "window_size": 56}
    config = Qwen2_5_VLConfig(text_config=text_config(tokenizer), vision_config=vision, **token_ids(tokenizer))
    strong(Qwen2_5_VLForConditionalGeneration(config)).save_pretrained(folder)
    images, videos = Qwen2VLImageProcessor(), Qwen2VLVideoProcessor()
    Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=TEMPLATE).save_pretrained(folder)
    return folder


def build_hpsv3(folder: Path) -> Path:
    """HPSv3.safetensors under transformers 4.45's keys, one token more than its tokenizer; Qwen2-VL's small files beside it."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2, "num_heads": 2}
    text = text_config(tokenizer)
    config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **token_ids(tokenizer))
    config.text_config.vocab_size = len(tokenizer) + 1
    state = strong(Qwen2VLModel(config)).state_dict()
    state = {re.sub(r"^language_model\.", "model.", key): value.contiguous() for key, value in state.items()}
    state["lm_head.weight"] = torch.zeros(len(tokenizer) + 1, 32)
    for place, (before, after) in {0: (32, 24), 3: (24, 16), 5: (16, 2)}.items():
        layer = torch.nn.Linear(before, after)
        state |= {f"rm_head.{place}.{key}": value.detach() for key, value in layer.state_dict().items()}
    save_file(state, folder / "HPSv3.safetensors")
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessor().save_pretrained(folder)
    (folder / "instruction.txt").write_text(INSTRUCTION)
    return folder


SPECS = {
    "vqascore": lambda folder: f"vqascore:weights={build_qwen(folder)},dtype=float32",
    "hpsv3": lambda folder: f"hpsv3:weights={build_hpsv3(folder)},instruction={folder / 'instruction.txt'},dtype=float32",
}
