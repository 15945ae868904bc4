"""UNets of SDXL's architecture from wherever they stand, reading no more than is kept.

A diffusers pipeline or UNet folder, a hub id, or one `.safetensors` file in the original (Stability) layout. The network is
built empty (meta device) and its kept parts are filled straight from the files, so that the up path, two thirds of an SDXL
UNet, never reaches memory where only the encoder is wanted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from reward_zoo.errors import first_line
from reward_zoo.weights import hub_folder
from surrogate.backbones.sdxl import UP_PATH, Depth, strip_up_path
from surrogate.errors import BackboneError

WEIGHTS = "diffusion_pytorch_model"
SINGLE = "single file"
ORIGINAL_PREFIX = "model.diffusion_model."


def load_unet(source: str, *, depth: Depth, stages: int = 0, template: dict[str, Any] | None = None) -> nn.Module:
    """A `UNet2DConditionModel` in float32, without its up path if `depth` is encoder.

    Args:
        source: pipeline folder, UNet folder, hub id, or a single .safetensors file.
        depth: whether the up path is wanted.
        stages: with `encoder`, how many down stages; 0 is all of them and the mid block.
        template: configuration for a single file, which carries none; SDXL's own otherwise.

    Raises:
        BackboneError: nothing there, files missing, or not of SDXL's architecture.
    """
    path = Path(source)
    try:
        if path.is_file():
            config, files = template or SDXL, {SINGLE: path}
        else:
            folder = _unet_folder(path if path.is_dir() else _download(source))
            config, files = json.loads((folder / "config.json").read_text()), _shards(folder)
        _check(config, source)
        return _fill(config, files, depth, stages)
    except BackboneError:
        raise
    except Exception as error:
        reason = first_line(error)
        raise BackboneError(
            f"--backbone-weights {source}: cannot be loaded ({reason}); give a folder, a hub id, or a .safetensors file"
        ) from error


def _check(config: dict[str, Any], source: str) -> None:
    if config.get("addition_embed_type") != "text_time":
        raise BackboneError(
            f"--backbone-weights {source}: its UNet is not of SDXL's architecture (no text_time conditioning); "
            "use SDXL base, SDXL-Turbo, SSD-1B or the like"
        )


def empty_unet(config: dict[str, Any], depth: Depth, stages: int = 0) -> nn.Module:
    """A UNet without weights (meta device), stripped of what is not wanted."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    if depth == "encoder":
        strip_up_path(unet, stages)
    return unet


def _fill(config: dict[str, Any], files: dict[str, Path], depth: Depth, stages: int) -> nn.Module:
    unet = empty_unet(config, depth, stages)
    wanted = list(unet.state_dict())
    found = _original_names(files[SINGLE], config, depth) if SINGLE in files else _read(wanted, files)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BackboneError(
            f"--backbone-weights: {missing[0]} is missing; the checkpoint is incomplete, or not of SDXL's architecture"
        )
    unet.load_state_dict({name: found[name] for name in wanted}, assign=True)
    return unet


def _read(wanted: list[str], files: dict[str, Path]) -> dict[str, torch.Tensor]:
    """Those of the wanted tensors that are there, file by file."""
    found = {}
    for file in dict.fromkeys(files.values()):
        with safe_open(file, framework="pt") as opened:
            there = set(opened.keys())
            found |= {name: opened.get_tensor(name).float() for name in wanted if name in there}
    return found


def _original_names(file: Path, config: dict[str, Any], depth: Depth) -> dict[str, torch.Tensor]:
    """The UNet of a single file under diffusers' names; the output blocks are left out unless wanted."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    with safe_open(file, framework="pt") as opened:
        names = [name for name in opened.keys() if name.startswith(ORIGINAL_PREFIX)]  # noqa: SIM118 - not a dict
        if not names:
            raise BackboneError(
                f"--backbone-weights {file}: holds no {ORIGINAL_PREFIX}* tensors; give a checkpoint in the original layout"
            )
        dropped = () if depth == "full" else (f"{ORIGINAL_PREFIX}output_blocks.",)
        held = {name: opened.get_tensor(name).float() for name in names if not name.startswith(dropped)}
    if depth == "encoder":  # the converter wants the last layers to be there
        held |= {f"{ORIGINAL_PREFIX}out.{part}": torch.empty(0) for part in ("0.weight", "0.bias", "2.weight", "2.bias")}
    found = convert_ldm_unet_checkpoint(held, dict(config))
    return {name: value for name, value in found.items() if depth == "full" or not name.startswith(UP_PATH)}


def _unet_folder(folder: Path) -> Path:
    for candidate in (folder / "unet", folder):
        if (candidate / "config.json").is_file():
            return candidate
    raise BackboneError(f"--backbone-weights {folder}: no unet/config.json there; give a diffusers pipeline or UNet folder")


def _shards(folder: Path) -> dict[str, Path]:
    """Which file holds which tensor; "*" stands for all of them."""
    for index in sorted(folder.glob(f"{WEIGHTS}*.safetensors.index*.json")):
        return {name: folder / file for name, file in json.loads(index.read_text())["weight_map"].items()}
    for name in (f"{WEIGHTS}.safetensors", f"{WEIGHTS}.fp16.safetensors"):
        if (folder / name).is_file():
            return {"*": folder / name}
    raise BackboneError(f"--backbone-weights {folder}: no {WEIGHTS}.safetensors there; only safetensors are read")


def _download(source: str) -> Path:
    return hub_folder(source, known_by="unet/config.json", patterns=("unet/*.json", "unet/*.safetensors"))


# The UNet of stabilityai/stable-diffusion-xl-base-1.0, as its config.json has it.
SDXL: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
