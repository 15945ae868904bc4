"""Specs of bridges that run offline: a random classifier of timm on disk, metrics without weights, a server of our own."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from tests.tiny.server import Server


def build_timm(folder: Path, model: str = "test_resnet") -> Path:
    """The weights of a model, random but strong enough to tell pictures apart."""
    torch.manual_seed(0)
    network = timm.create_model(model)
    torch.nn.init.normal_(network.get_classifier().weight, std=5.0)
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


def build_callable(folder: Path) -> str:
    """A function in a file."""
    (folder / "own.py").write_text("def light(images):\n    return images.mean((1, 2, 3))\n")
    return f"{folder / 'own.py'}:light"


SPECS = {
    "callable": build_callable,
    "normalized": lambda folder: "normalized(brightness)",
    "pyiqa": lambda folder: "pyiqa:psnr",
    "remote": lambda folder: f"{Server('ocr').url}/ocr",
    "timm": lambda folder: f"timm:test_resnet?class=281,weights={build_timm(folder)}",
    "torchmetrics": lambda folder: "torchmetrics:peak_signal_noise_ratio",
}
