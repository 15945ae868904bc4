"""Tiny BLIPs, saved as the published ones are: ImageReward's in the original code's keys, the others in transformers'."""

from __future__ import annotations

import re
import string
from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    BlipTextConfig,
    BlipVisionConfig,
    BlipVisionModel,
)
from transformers.models.blip.modeling_blip_text import BlipTextModel

from tests.tiny.clip import build_clip

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "yes",
    "no",
    "a",
    "red",
    "sign",
    "cat",
    "and",
    "?",
    '"',
    "[DEC]",
    "[ENC]",
]
VOCABULARY = [*WORDS, *string.ascii_lowercase[1:], *("##" + letter for letter in string.ascii_lowercase)]
VISION = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "image_size": 32,
    "patch_size": 8,
    "layer_norm_eps": 1e-6,
}
TEXT = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "encoder_hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "bos_token_id": WORDS.index("[DEC]"),
    "sep_token_id": WORDS.index("[SEP]"),
    "eos_token_id": WORDS.index("[SEP]"),
    "pad_token_id": 0,
    "is_decoder": True,
    "initializer_range": 0.1,
}
BACK = (
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.position_embedding$", "pos_embed"),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"blocks.\1.norm\2."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.qkv\.", r"blocks.\1.attn.qkv."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.projection\.", r"blocks.\1.attn.proj."),
    (r"^encoder\.layers\.(\d+)\.mlp\.", r"blocks.\1.mlp."),
    (r"^post_layernorm\.", "norm."),
)


def strong(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that pixels matter: the published initialisation is far below what training leaves."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return model


def save_vocabulary(folder: Path) -> None:
    """bert-base-uncased's file, with few words."""
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))


def build_image_reward(folder: Path) -> Path:
    """ImageReward.pt: visual encoder, text encoder and head under the original code's keys."""
    torch.manual_seed(0)
    vision = strong(BlipVisionModel(BlipVisionConfig(**VISION))).state_dict()
    text = strong(BlipTextModel(BlipTextConfig(**TEXT | {"layer_norm_eps": 1e-12}), add_pooling_layer=False)).state_dict()
    state = {}
    for key, value in vision.items():
        for pattern, name in BACK:
            key = re.sub(pattern, name, key)
        state[f"blip.visual_encoder.{key}"] = value
    state |= {f"blip.text_encoder.{key}": value for key, value in text.items()}
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(512)[None]
    widths = (64, 24, 16, 12, 8, 1)
    for place, number in enumerate((0, 2, 4, 6, 7)):
        layer = torch.nn.Linear(*widths[place : place + 2])
        state |= {f"mlp.layers.{number}.{key}": value for key, value in layer.state_dict().items()}
    torch.save(state, folder / "ImageReward.pt")
    save_vocabulary(folder)
    return folder


def build_blip(kind: type, folder: Path) -> Path:
    """A folder as of Salesforce's BLIP models."""
    torch.manual_seed(0)
    config = BlipConfig(text_config=TEXT, vision_config=VISION, projection_dim=16, image_text_hidden_size=16)
    strong(kind(config)).save_pretrained(folder)
    save_vocabulary(folder)
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def _clip_beside(folder: Path) -> Path:
    (folder / "clip").mkdir()
    return build_clip(folder / "clip")


SPECS = {
    "image_reward": lambda folder: f"image_reward:weights={build_image_reward(folder)}",
    "blip_itm": lambda folder: f"blip_itm:weights={build_blip(BlipForImageTextRetrieval, folder)}",
    "captioning_alignment": lambda folder: (
        f"captioning_alignment:weights={build_blip(BlipForConditionalGeneration, folder)},clip={_clip_beside(folder)}"
    ),
    "blip_vqa": lambda folder: f"blip_vqa:image_size=48,weights={build_blip(BlipForQuestionAnswering, folder)}",
}
