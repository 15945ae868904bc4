"""An untrained surrogate for some labels: backbone, heads, and the scale of what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from surrogate.backbones.base import Backbone
from surrogate.backbones.build import build_backbone
from surrogate.backbones.lrm import MatchHead
from surrogate.backbones.tuning import add_lora
from surrogate.config import DistillConfig
from surrogate.errors import BackboneError
from surrogate.heads.columns import ColumnReader
from surrogate.heads.conv import ConvHead
from surrogate.heads.reader import alphabet_of
from surrogate.heads.slots import SlotReader
from surrogate.model import Part, Surrogate
from surrogate.sampling import LabelledLatents
from surrogate.types import Generator

LARGE = 500_000_000  # parameters
SPARE_SLOTS = 2  # letters that a reader can see beyond the longest wanted text
COLUMNS_A_LETTER = 2  # that a map must have for a reader by columns: equal letters need a gap
READERS = {"columns": ColumnReader, "slots": SlotReader}


def settled_for(generator: Generator, config: DistillConfig, *, perceives: bool, labels: int = 0) -> DistillConfig:
    """`DistillConfig.settled` for a generator; a UNet backbone is taken to be as large as its UNet."""
    return config.settled(perceives=perceives, labels=labels, large=is_large(generator.unet))


def is_large(network: nn.Module) -> bool:
    """Whether it keeps what it knows only at small rates, and its activations would fill a card."""
    return sum(parameter.numel() for parameter in network.parameters()) > LARGE


def build_surrogate(generator: Generator, data: LabelledLatents, config: DistillConfig) -> Surrogate:
    """An untrained surrogate, normalised to the labels' mean and spread.

    Raises:
        BackboneError: see `build_backbone`; or the latents are too narrow for a reader by columns.
    """
    torch.manual_seed(config.seed)  # the initial weights of what is new
    config = settled_for(generator, config, perceives=data.perceives_text)
    backbone = build_backbone(generator, config)
    if config.tune == "lora":
        add_lora(backbone, config.lora_rank)
    parts, offset = fit_parts(data)
    heads = [_new_head(backbone, generator, data, config) for _ in range(len(parts) * config.members)]
    surrogate = Surrogate(
        backbone,
        heads,
        parts=parts,
        offset=offset,
        latent_space=generator.latent_space,
        score_time=config.score_time,
        pessimism=config.pessimism,
        tune=config.tune,
    )
    if config.gradient_checkpointing:
        surrogate.checkpoint_gradients()
    return surrogate.to(generator.device)


def fit_parts(data: LabelledLatents) -> tuple[list[Part], float]:
    """The scale of each reward, and how the whole score is made of them: a least-squares fit, exact for weighted sums."""
    if len(data.part_names) == 1:
        return [Part(data.part_names[0], data.scores.mean().item(), data.scores.std().item())], 0.0
    columns = torch.cat([data.parts, torch.ones(len(data), 1)], dim=1).double()
    *weights, offset = torch.linalg.lstsq(columns, data.scores[:, None].double()).solution[:, 0].tolist()
    means, spreads = data.parts.mean(0).tolist(), data.parts.std(0).clamp_min(1e-6).tolist()
    return [Part(*facts) for facts in zip(data.part_names, means, spreads, weights, strict=True)], offset


def default_learning_rate(surrogate: Surrogate) -> float:
    """Peak rates that trained each kind of network well; published SDXL backbones are tuned at 1e-5 (LRM)."""
    if surrogate.backbone.kind in ("latent-cnn", "pixel-cnn", "crowd"):
        return 2e-3
    if surrogate.backbone.kind == "latent-vit":
        return 1e-3
    large = is_large(surrogate)
    if surrogate.tune == "full":
        return 1e-5 if large else 4e-4
    return 1e-4 if large else 1e-3


def _new_head(backbone: Backbone, generator: Generator, data: LabelledLatents, config: DistillConfig) -> nn.Module:
    if backbone.kind == "lrm-xl":
        head = MatchHead(backbone.channels, text_width=backbone.empty_pooled.shape[1], logit_scale=backbone.logit_scale)
        if backbone.projection is not None:
            head.visual_projection.weight.data.copy_(backbone.projection)
        return head
    if backbone.blind and data.perceives_text:
        longest = max(len(text) for text in data.wanted_texts())
        slots, size = min(64, longest + SPARE_SLOTS), _map_size(backbone, generator)
        room = size[1] >= COLUMNS_A_LETTER * slots
        if config.reader == "columns" and not room:
            need = f"{COLUMNS_A_LETTER * slots} columns for texts of up to {slots} letters, and latents have {size[1]}"
            raise BackboneError(f"--reader columns: needs {need}; use --reader slots")
        kind = {"auto": "columns" if size[0] == 1 and room else "slots"}.get(config.reader, config.reader)
        return READERS[kind](backbone.channels, size=size, alphabet=alphabet_of(data.perceived), slots=slots)
    return ConvHead(backbone.channels)


@torch.no_grad()
def _map_size(backbone: Backbone, generator: Generator) -> tuple[int, int]:
    space = generator.latent_space
    blank = torch.zeros(1, space.channels, space.height, space.width)
    maps = backbone.cpu()(blank, generator.encode_passing([""]).to("cpu"), torch.zeros(1, dtype=torch.long), blank)
    return max((tuple(found.shape[-2:]) for found in maps), key=lambda size: size[0] * size[1])


def head_from(settings: dict[str, Any], channels: Sequence[int]) -> nn.Module:
    """An empty head from what its `settings` said."""
    settings = dict(settings)
    kind = settings.pop("kind")
    if "size" in settings:
        settings["size"] = tuple(settings["size"])
    kinds = {head.kind: head for head in (ConvHead, SlotReader, ColumnReader, MatchHead)}
    return kinds[kind](list(channels), **settings)
