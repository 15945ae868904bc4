"""BLIP in the forms rewards use it: transformers' own classes, whatever format the weights come in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.models import frozen, tokenise
from reward_zoo.rewards.clip_models import load_model
from reward_zoo.weights import weight_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

BERT = "google-bert/bert-base-uncased"
TOKEN_LIMIT = 35  # of BLIP's own code, and of ImageReward
HEAD_WIDTH = 64  # channels an attention head, in every published BLIP

# Original BLIP's vision keys → transformers'. Text keys are the same in both.
_RENAMES = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.(\d+)\.norm(\d)\.", r"encoder.layers.\1.layer_norm\2."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.projection."),
    (r"^blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
    (r"^norm\.", "post_layernorm."),
)


def vision_keys(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of original BLIP's visual encoder under transformers' names."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in _RENAMES:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed


def build_towers(vision: dict[str, torch.Tensor], text: dict[str, torch.Tensor]) -> tuple[nn.Module, nn.Module]:
    """Vision and text tower (with cross-attention) for two state dicts of the original format; sizes are read off them.

    Raises:
        KeyError, RuntimeError: the state dicts are of another model.
    """
    from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
    from transformers.models.blip.modeling_blip_text import BlipTextModel

    vision = vision_keys(vision)
    position, patch = vision["embeddings.position_embedding"], vision["embeddings.patch_embedding.weight"]
    side = round((position.shape[1] - 1) ** 0.5)
    images = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=position.shape[2],
            intermediate_size=vision["encoder.layers.0.mlp.fc1.weight"].shape[0],
            num_hidden_layers=_layers(vision, "encoder.layers."),
            num_attention_heads=max(1, position.shape[2] // HEAD_WIDTH),
            image_size=side * patch.shape[-1],
            patch_size=patch.shape[-1],
            layer_norm_eps=1e-6,
        )
    )
    words = text["embeddings.word_embeddings.weight"]
    texts = BlipTextModel(
        BlipTextConfig(
            vocab_size=words.shape[0],
            hidden_size=words.shape[1],
            encoder_hidden_size=position.shape[2],
            intermediate_size=text["encoder.layer.0.intermediate.dense.weight"].shape[0],
            num_hidden_layers=_layers(text, "encoder.layer."),
            num_attention_heads=max(1, words.shape[1] // HEAD_WIDTH),
            max_position_embeddings=text["embeddings.position_embeddings.weight"].shape[0],
            layer_norm_eps=1e-12,
        ),
        add_pooling_layer=False,
    )
    images.load_state_dict(vision)
    texts.load_state_dict({key: value for key, value in text.items() if key != "embeddings.position_ids"})
    return frozen(images), frozen(texts)


def _layers(state: dict[str, torch.Tensor], prefix: str) -> int:
    return 1 + max(int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix))


def bert_tokenizer(folder: Path | None, reward: str) -> Any:  # noqa: ANN401 - a tokenizer of transformers
    """bert-base-uncased's tokenizer: from `folder` if its vocabulary lies there, else from the hub."""
    from transformers import BertTokenizer

    if folder is None or not any((folder / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        folder = weight_folder(BERT, reward=reward, patterns=("*.json", "vocab.txt"))
    return load_model(BertTokenizer, folder, reward)


def cut_tokens(tokenizer: Any, texts: Sequence[str], limit: int = TOKEN_LIMIT) -> tuple[Any, torch.Tensor]:  # noqa: ANN401
    """`models.tokenise` at BLIP's limit."""
    return tokenise(tokenizer, texts, limit)
