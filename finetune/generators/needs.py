"""What a generator's weights are, file by file, without loading any of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from finetune.generators.preset import Preset
from reward_zoo.needs import Need

LORA_FILE = "pytorch_lora_weights.safetensors"
HALF = "fp16"  # what published half-precision files are called
TEXTS = (".json", ".txt", ".model")
# Bytes in half precision: parameters x 2 (SDXL's UNet has 2,567,463,684, its text encoders 123,060,480 and 694,659,840,
# its autoencoder 83,653,863; SSD-1B's UNet about 1.33 billion, by its model card).
PARTS = {"unet": 5_134_927_368, "text_encoder": 246_120_960, "text_encoder_2": 1_389_319_680, "vae": 167_307_726}
SSD_UNET = 2_660_000_000
# LoRAs: 197 million parameters at rank 64 (LCM-LoRA, arXiv 2311.05556), in half precision; Hyper-SDXL's are in float32.
LORAS = {"latent-consistency/lcm-lora-sdxl": 394_000_000, "ByteDance/Hyper-SD": 787_000_000}


def split_place(place: str) -> tuple[str | None, str | None]:
    """The hub id in a preset's place, and the file in it: owner/name/file; None where there is none."""
    if Path(place).exists() or place.count("/") < 1 or place.startswith(("package:", "/", ".")):
        return None, None
    owner, name, *file = place.split("/")
    return f"{owner}/{name}", "/".join(file) or None


def needs_of_generator(preset: Preset) -> list[Need]:
    """The repositories a preset takes weights from; none for what is a folder here, or in the package.

    Bytes are those of SDXL's architecture in half precision; another pipeline's are not known without the network.
    """
    found = []
    repo, _ = split_place(preset.source)
    replaced = [part for part in ("unet", "vae") if getattr(preset, part)]
    if repo is not None:
        known = "sdxl" in repo or "stable-diffusion-xl" in repo or repo == "segmind/SSD-1B"
        parts = {**PARTS, "unet": SSD_UNET} if "SSD" in repo else PARTS
        size = sum(bytes_ for part, bytes_ in parts.items() if part not in replaced) if known else None
        found.append(Need(repo, "model_index.json", (), size, preset.name))
    for field, size in (("unet", SSD_UNET if "ssd" in preset.name else PARTS["unet"]), ("lora", None), ("vae", PARTS["vae"])):
        place = getattr(preset, field)
        repo, file = split_place(place) if place else (None, None)
        if repo is not None:
            known_by = file or (LORA_FILE if field == "lora" else "config.json")
            size = LORAS.get(repo) if field == "lora" else size
            found.append(Need(repo, known_by, (file,) if file else (), size, preset.name))
    return found


def wanted_files(files: Iterable[str], *, known_by: str, replaced: Iterable[str] = ()) -> list[str]:
    """Of a repository's files, those that loading reads: half precision where there is any, else whole; safetensors.

    Args:
        files: all of them.
        known_by: model_index.json for a pipeline, whose networks lie in folders; else the name of a network's main file.
        replaced: networks of a pipeline that a preset brings from elsewhere; only their configuration is wanted.
    """
    files = list(files)
    if known_by != "model_index.json":
        weights = [file for file in files if "/" not in file and file.endswith(".safetensors")]
        return [*(file for file in files if "/" not in file and file.endswith(TEXTS)), *_lightest(weights)]
    wanted = [known_by]
    for folder in ("scheduler", "tokenizer", "tokenizer_2", *PARTS):
        inside = [file for file in files if file.startswith(f"{folder}/") and file.count("/") == 1]
        wanted += [file for file in inside if file.endswith(TEXTS) and not file.endswith(".index.json")]
        if folder not in replaced:
            weights = [file for file in inside if file.endswith((".safetensors", ".safetensors.index.json"))]
            wanted += _lightest([file for file in weights if "openvino" not in file])
    return wanted


def _lightest(weights: list[str]) -> list[str]:
    half = [file for file in weights if f".{HALF}." in file or f".{HALF}-" in file]
    return half or weights
