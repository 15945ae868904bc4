"""A preset's networks: its pipeline, with the weights that replace the UNet or the autoencoder, or are fused into the UNet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel

from finetune.errors import GeneratorError
from finetune.generators.needs import HALF, LORA_FILE, split_place
from finetune.generators.preset import Preset
from reward_zoo.errors import first_line
from reward_zoo.weights import hub_file, placed_folder
from surrogate.backbones.checkpoints import empty_unet

ENCODERS = ("text_encoder", "text_encoder_2")


def pipeline_folder(preset: Preset) -> Path:
    """The folder of a preset's pipeline; one on the hub is fetched, without the parts that the preset replaces.

    Raises:
        GeneratorError: no pipeline there.
    """
    if preset.source.startswith("package:"):
        return Path(__file__).parent / preset.source.removeprefix("package:")
    folder = Path(preset.source)
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise GeneratorError(f"generator {preset.name}: {folder} has no model_index.json; give a diffusers pipeline folder")
        return folder
    if (placed := placed_folder(preset.source, "model_index.json")) is not None:
        return placed
    replaced: dict[str, Any] = {part: None for part in ("unet", "vae") if getattr(preset, part)}
    try:
        return Path(_in_half(lambda variant: StableDiffusionXLPipeline.download(preset.source, variant=variant, **replaced)))
    except Exception as error:
        raise _cannot(preset, "source", "check the network and the hub id, or give a folder", error) from error


@contextmanager
def _quietly() -> Iterator[None]:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():  # the older diffusers that lasro runs with know no other name for it
        warnings.filterwarnings("ignore", "`torch_dtype` is deprecated", FutureWarning)
        yield


@_quietly()
def load_pipeline(preset: Preset, dtype: torch.dtype, *, encoders: bool = True) -> StableDiffusionXLPipeline:
    """The pipeline as the preset wants it, on the CPU: networks in `dtype`, the autoencoder in float32.

    Args:
        preset: where all weights are.
        dtype: of the UNet and the text encoders.
        encoders: whether to load the text encoders.

    Raises:
        GeneratorError: something is missing, cannot be read, or does not fit.
    """
    folder = pipeline_folder(preset)
    parts: dict[str, Any] = {} if encoders else dict.fromkeys(ENCODERS)
    if preset.unet:
        parts["unet"] = _load_unet(preset, folder, dtype)
    if preset.vae:
        parts["vae"] = _load_vae(preset)
    pipeline = _assemble(preset, folder, dtype, parts)
    if pipeline.unet.config.addition_embed_type != "text_time":
        raise GeneratorError(f"generator {preset.name}: its UNet is not of SDXL's architecture (no text_time conditioning)")
    if pipeline.vae.config.latent_channels != pipeline.unet.config.in_channels:
        channels = f"{pipeline.vae.config.latent_channels} channels, its UNet {pipeline.unet.config.in_channels}"
        raise GeneratorError(f"generator {preset.name}: the latents of its autoencoder have {channels}; they do not fit")
    if preset.lora:
        _fuse(pipeline, preset)
    return pipeline


@_quietly()
def load_encoders(preset: Preset, dtype: torch.dtype) -> StableDiffusionXLPipeline:
    """A pipeline of nothing but the tokenizers and text encoders."""
    return _assemble(preset, pipeline_folder(preset), dtype, {"unet": None, "vae": None})


def _assemble(preset: Preset, folder: Path, dtype: torch.dtype, parts: dict[str, Any]) -> StableDiffusionXLPipeline:
    variant = HALF if any(folder.glob(f"*/*.{HALF}.safetensors")) else None
    dtypes = {"default": dtype, "vae": torch.float32}
    try:
        return StableDiffusionXLPipeline.from_pretrained(
            folder, variant=variant, torch_dtype=dtypes, add_watermarker=False, **parts
        )
    except Exception as error:
        raise GeneratorError(
            f"generator {preset.name}: the pipeline cannot be loaded ({first_line(error)}); "
            "check the folder, or the network and the hub id"
        ) from error


def _load_unet(preset: Preset, folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    place = _fetched(preset, "unet")
    if not Path(place).is_file():
        try:
            return _pretrained(UNet2DConditionModel, place, dtype)
        except Exception as error:
            raise _cannot(preset, "unet", "give a file, or a folder or hub id with a config.json", error) from error
    try:
        state = _read(Path(place))
        at = folder if (folder / "unet" / "config.json").is_file() else preset.source  # a fetched folder lacks it
        unet = empty_unet(UNet2DConditionModel.load_config(at, subfolder="unet"), "full")
        strange = unet.state_dict().keys() ^ state.keys()
        if strange:
            raise ValueError(f"{min(strange)} and {len(strange) - 1} others are in one and not in the other")
        unet.load_state_dict(state, assign=True)
    except Exception as error:
        raise _cannot(preset, "unet", f"give a file of weights for the UNet of {preset.source}", error) from error
    return torch.nn.Module.to(unet, dtype)  # diffusers' own warns of casts


def _read(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    if file.suffix in (".bin", ".pt", ".pth"):
        return torch.load(file, map_location="cpu", weights_only=True)
    raise ValueError(f"{file.suffix or 'no'} suffix; read are .safetensors and .bin")


def _load_vae(preset: Preset) -> AutoencoderKL:
    try:
        return _pretrained(AutoencoderKL, _fetched(preset, "vae"), torch.float32)
    except Exception as error:
        raise _cannot(preset, "vae", "give a folder or hub id with a config.json", error) from error


def _fuse(pipeline: StableDiffusionXLPipeline, preset: Preset) -> None:
    """Make a LoRA part of the UNet's weights, so that another one can be trained on top."""
    place, unet = _fetched(preset, "lora"), pipeline.unet
    logging.getLogger("diffusers.loaders.peft").setLevel(logging.CRITICAL)  # what is wrong is said below, once
    try:
        name = None if Path(place).is_file() else LORA_FILE
        state, alphas = pipeline.lora_state_dict(place, weight_name=name, unet_config=unet.config)
        if not state or not all(key.startswith("unet.") for key in state):
            raise ValueError("it is not one of a UNet alone")
        pipeline.load_lora_into_unet(state, network_alphas=alphas, unet=unet, adapter_name="preset")
        unet.fuse_lora()
        unet.unload_lora()
    except Exception as error:
        raise _cannot(preset, "lora", "give a LoRA of this UNet, as diffusers or kohya write it", error) from error


def _fetched(preset: Preset, field: str) -> str:
    """A path that is here, or a hub id; a file named within a hub id (owner/name/file) is fetched."""
    place = getattr(preset, field)
    repo, file = split_place(place)
    if Path(place).exists() or repo is None:
        return place
    if file is None:
        return str(placed_folder(repo) or placed_folder(repo, LORA_FILE) or place)
    try:
        return str(hub_file(repo, file))
    except Exception as error:
        raise _cannot(preset, field, "check the path, or the network and the hub id", error) from error


def _pretrained(kind: Any, place: str, dtype: torch.dtype) -> Any:  # noqa: ANN401 - a diffusers model
    if not Path(place).is_dir():
        return _in_half(lambda variant: kind.from_pretrained(place, variant=variant, torch_dtype=dtype))
    half = any(Path(place).glob(f"*.{HALF}.safetensors"))
    return kind.from_pretrained(place, variant=HALF if half else None, torch_dtype=dtype)


def _in_half(fetch: Callable[[str | None], Any]) -> Any:  # noqa: ANN401 - whatever it fetches
    """From the hub in half precision, which is half the bytes; whole where there is no such file."""
    try:
        return fetch(HALF)
    except (OSError, ValueError):
        return fetch(None)


def _cannot(preset: Preset, field: str, remedy: str, error: Exception) -> GeneratorError:
    place = getattr(preset, field)
    return GeneratorError(f"generator {preset.name}: {field} {place} cannot be loaded ({first_line(error)}); {remedy}")
