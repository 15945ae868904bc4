"""A tiny untrained surrogate in the format that `lasro distill` writes."""

from __future__ import annotations

from pathlib import Path

import torch

from finetune.generators.pipeline import SDXLGenerator, load_generator
from surrogate.backbones.base import Backbone
from surrogate.building import build_surrogate
from surrogate.config import DistillConfig
from surrogate.folder import save_surrogate
from surrogate.model import Surrogate
from surrogate.sampling import LabelledLatents
from surrogate.types import TextConditioning
from tests.tiny.sdxl import build_sdxl

FIDELITY = {
    "pairwise": {"accuracy": 0.8, "ci95": [0.7, 0.9], "ceiling": 0.95, "margin": 0.2},
    "spearman": 0.7,
    "labels": 8,
}


class Itself(Backbone):
    """The latents are their own features."""

    kind, channels = "itself", [4]

    def __init__(self, alphas_cumprod: torch.Tensor, dropout: float = 0.0) -> None:
        super().__init__(alphas_cumprod)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """Whatever the prompt and the noise."""
        return [self.dropout(latents)]


def untrained(generator: SDXLGenerator, backbone: str = "encoder", **settings: object) -> Surrogate:
    """A surrogate whose head knows nothing yet, for scores of mean .5."""
    data = LabelledLatents(torch.zeros(2, 4, 16, 16), torch.tensor([0.0, 1.0]), torch.ones(2), torch.zeros(2), ["a"], ["", ""])
    return build_surrogate(generator, data, DistillConfig(backbone=backbone, **settings))


def build_folder(folder: Path, generator: SDXLGenerator, *, reward: str, name: str) -> Path:
    """Save one, with the facts a real run notes down; `name` is how its generator is loaded."""
    facts = {
        "reward": reward,
        "generator": name,
        "margin": 0.2,
        "labels": [],
        "distill": DistillConfig().settled(perceives=False).as_dict(),
    }
    save_surrogate(untrained(generator), folder, fidelity=FIDELITY, **facts)
    return folder


def build_spec(folder: Path) -> str:
    """A surrogate with its generator beside it, as a reward's spec."""
    pipeline = build_sdxl(folder / "generator", variant=None)
    build_folder(folder / "surrogate", load_generator(str(pipeline)), reward="ocr", name=str(pipeline))
    return f"surrogate:{folder / 'surrogate'}"
