"""Tiny models of the CLIP family, saved as the published ones are."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model, SiglipConfig, SiglipModel, SiglipTokenizer

from tests.tiny.sdxl import byte_level_tokenizer

VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def build_clip(folder: Path, size: int = 32) -> Path:
    """A folder as of openai/clip-vit-large-patch14."""
    torch.manual_seed(0)
    tokenizer = byte_level_tokenizer("<|endoftext|>")
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "vocab_size": len(tokenizer)}
    config = CLIPConfig(text_config=TEXT | ids, vision_config=VISION | {"image_size": size}, projection_dim=12)
    model = CLIPModel(config)
    model.logit_scale.data.fill_(4.6)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    statistics = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    return folder


def build_siglip(folder: Path, size: int = 32) -> Path:
    """A folder as of google/siglip-so400m-patch14-384, sentencepiece vocabulary and all."""
    torch.manual_seed(0)
    tokenizer = sentencepiece_tokenizer(folder)
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 16}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION | {"image_size": size}))
    model.logit_scale.data.fill_(2.0)
    model.logit_bias.data.fill_(-3.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentencepiece_tokenizer(folder: Path) -> SiglipTokenizer:
    """SigLIP's own tokenizer class with a vocabulary learnt from two sentences; writes `spiece.model`."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(["the quick brown fox jumps over the lazy dog", "a red sign and two cats on a mat"] * 8),
        model_prefix=str(folder / "spiece"),
        vocab_size=48,
        hard_vocab_limit=False,
        minloglevel=2,
        bos_id=-1,
    )
    (folder / "spiece.vocab").unlink()
    return SiglipTokenizer(str(folder / "spiece.model"))


def build_open_clip(folder: Path, size: int = 32) -> tuple[Path, Path]:
    """(model config, checkpoint) as open_clip has them; the checkpoint wrapped as HPSv2's is."""
    import open_clip

    config = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": size, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    path = folder / "tiny-open-clip.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-open-clip")
    torch.save({"state_dict": model.state_dict()}, folder / "checkpoint.pt")
    return path, folder / "checkpoint.pt"


def build_mps(folder: Path, size: int = 32) -> tuple[Path, Path]:
    """(the port's model.safetensors, a folder with CLIP-H's config and tokenizer)."""
    from safetensors.torch import save_file

    clip = build_clip(folder / "clip", size)
    state = {f"mps.model.{key}": value for key, value in CLIPModel.from_pretrained(clip).state_dict().items()}
    width, heads, head, hidden = 12, 2, 4, 24
    for layer in range(2):
        reads, mixes = (f"mps.cross_model.layers.{layer}.{part}.fn." for part in (0, 1))
        shapes = {
            reads + "to_q": (heads * head, width),
            reads + "to_kv": (2 * head, width),
            reads + "to_out": (width, heads * head),
            reads + "ff.0": (2 * hidden, width),
            reads + "ff.2": (width, hidden),
            mixes + "fused_attn_ff_proj": (heads * head + 2 * head + 2 * hidden, width),
            mixes + "attn_out": (width, heads * head),
            mixes + "ff_out.1": (width, hidden),
        }
        state |= {f"{name}.weight": torch.randn(shape) / shape[1] ** 0.5 for name, shape in shapes.items()}
        state |= {f"{part}norm.weight": 1 + 0.1 * torch.randn(width) for part in (reads, mixes)}
        state |= {f"{part}norm.bias": torch.zeros(width) for part in (reads, mixes)}
        state[mixes + "rotary_emb.inv_freq"] = 1 / 10_000 ** (torch.arange(0, head, 2) / head)
    save_file({key: value.clone() for key, value in state.items()}, folder / "model.safetensors")
    return folder / "model.safetensors", clip


def build_head(file: Path, width: int, numbers: tuple[int, ...]) -> Path:
    """A five-layer aesthetic head with the published key names."""
    torch.manual_seed(0)
    widths = (width, 24, 16, 12, 8, 1)
    layers = {number: torch.nn.Linear(*widths[place : place + 2]) for place, number in enumerate(numbers)}
    torch.save({f"layers.{n}.{key}": value for n, layer in layers.items() for key, value in layer.state_dict().items()}, file)
    return file


def build_dino(folder: Path) -> Path:
    """A folder as of facebook/dinov2-base."""
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=14)).save_pretrained(folder)
    return folder


def build_alexnet(file: Path) -> Path:
    """AlexNet's true shape with random weights, in torchvision's keys; 10 MB without the classifier."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    state = alexnet().state_dict()
    torch.save({key: value for key, value in state.items() if key.startswith("features")}, file)
    return file


def _mps_spec(folder: Path) -> str:
    weights, clip = build_mps(folder)
    return f"mps:weights={weights},clip={clip}"


def _open_clip_spec(name: str) -> object:
    def build(folder: Path) -> str:
        config, checkpoint = build_open_clip(folder)
        return f"{name}:model={config},weights={checkpoint}"

    return build


SPECS = {
    "clip_score": lambda folder: f"clip_score:weights={build_clip(folder)}",
    "prompt_pair": lambda folder: f"prompt_pair:weights={build_clip(folder)},scale=20",
    "pickscore": lambda folder: f"pickscore:weights={build_clip(folder)}",
    "siglip_score": lambda folder: f"siglip_score:weights={build_siglip(folder)}",
    "open_clip_score": _open_clip_spec("open_clip_score"),
    "mps": _mps_spec,
    "hpsv2": _open_clip_spec("hpsv2"),
    "aesthetic": lambda folder: (
        f"aesthetic:weights={build_clip(folder)},head={build_head(folder / 'head.pth', 12, (0, 2, 4, 6, 7))}"
    ),
    "aesthetic_v2_5": lambda folder: (
        f"aesthetic_v2_5:weights={build_siglip(folder)},head={build_head(folder / 'head.pth', 16, (0, 2, 4, 6, 8))}"
    ),
    "clip_image_similarity": lambda folder: f"clip_image_similarity:weights={build_clip(folder)}",
    "dino_similarity": lambda folder: f"dino_similarity:weights={build_dino(folder)}",
    "lpips_similarity": lambda folder: f"lpips_similarity:weights={build_alexnet(folder / 'alexnet.pth')}",
}
