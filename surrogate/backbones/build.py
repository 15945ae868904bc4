"""Backbones by name."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from reward_zoo.errors import first_line
from surrogate.backbones.base import Backbone
from surrogate.backbones.checkpoints import empty_unet, load_unet
from surrogate.backbones.crowd import Crowd
from surrogate.backbones.latent_cnn import LatentCNN
from surrogate.backbones.latent_vit import LatentViT
from surrogate.backbones.lrm import LRMBackbone
from surrogate.backbones.pixel import PixelTower
from surrogate.backbones.pixel_cnn import PixelCNN
from surrogate.backbones.sdxl import SDXLBackbone
from surrogate.config import DistillConfig
from surrogate.errors import BackboneError
from surrogate.types import Generator


def build_backbone(generator: Generator, config: DistillConfig) -> Backbone:
    """The backbone that `config.backbone` (settled) names, new or from `config.backbone_weights`.

    Members of an ensemble have a small network each, and share a large one.

    Raises:
        BackboneError: its weights cannot be loaded, or do not fit the generator.
    """
    if config.members > 1 and config.backbone == "latent-cnn":
        return Crowd([_build_one(generator, config) for _ in range(config.members)])
    return _build_one(generator, config)


def _build_one(generator: Generator, config: DistillConfig) -> Backbone:
    name, _, argument = config.backbone.partition(":")
    space, schedule = generator.latent_space, {"alphas_cumprod": generator.alphas_cumprod}
    text = generator.unet.config
    if name == "latent-cnn":
        return LatentCNN(**schedule, in_channels=space.channels, rows=space.height)
    if name == "pixel-cnn":
        return PixelCNN(**schedule, vae=generator.vae, rows=space.height)
    if name == "latent-vit":
        size = {"height": space.height, "width": space.width}
        return LatentViT(**schedule, in_channels=space.channels, **size, text_width=text.cross_attention_dim)
    if name == "pixel-timm":
        pooled = text.projection_class_embeddings_input_dim - 6 * text.addition_time_embed_dim
        return _pixel(argument, generator, pooled)
    if name == "lrm-xl":
        empty = generator.encode_passing([""])
        return LRMBackbone.from_folder(argument, **schedule, prediction_type=generator.prediction_type, empty=empty)
    depth = "encoder" if name == "encoder" else "full"
    stages, source = config.backbone_depth, config.backbone_weights
    unet = load_unet(source, depth=depth, stages=stages, template=dict(text)) if source else generator.unet
    _check_fit(unet, generator, source)
    prediction = generator.prediction_type
    return SDXLBackbone(unet, depth=depth, stages=stages, **schedule, prediction_type=prediction, owned=bool(source))


def rebuild(kind: str, settings: dict[str, Any], alphas_cumprod: torch.Tensor) -> Backbone:
    """An empty backbone from what its `settings` said; the weights are loaded by the caller."""
    schedule = {"alphas_cumprod": alphas_cumprod}
    settings = dict(settings)
    if kind == "crowd":
        each = dict(settings["network"])
        name = each.pop("kind")
        return Crowd([rebuild(name, each, alphas_cumprod) for _ in range(settings["count"])])
    if kind in ("sdxl", "lrm-xl"):
        unet = empty_unet(settings.pop("unet"), settings.get("depth", "encoder"), settings.get("stages", 0))
        unet.to_empty(device="cpu")
        return (SDXLBackbone if kind == "sdxl" else LRMBackbone)(unet, **settings, **schedule, owned=True)
    if kind in ("pixel-timm", "pixel-cnn"):
        from diffusers import AutoencoderKL

        settings["vae"] = AutoencoderKL.from_config(settings["vae"])
        return PixelCNN(**settings, **schedule) if kind == "pixel-cnn" else PixelTower(**settings, **schedule, pretrained=False)
    return {"latent-cnn": LatentCNN, "latent-vit": LatentViT}[kind](**settings, **schedule)


def _pixel(model: str, generator: Generator, pooled: int) -> PixelTower:
    settings = {"alphas_cumprod": generator.alphas_cumprod, "model": model, "vae": generator.vae, "text_width": pooled}
    try:
        import timm

        pretrained = bool(timm.models.is_model_pretrained(model)) if not model.startswith(("local-dir:", "hf-hub:")) else True
        try:
            return PixelTower(**settings, pretrained=pretrained)
        except OSError:  # no network and nothing in the cache
            warnings.warn(
                f"--backbone pixel-timm:{model}: its published weights are not here; it starts from nothing", stacklevel=2
            )
            return PixelTower(**settings, pretrained=False)
    except Exception as error:
        reason = first_line(error)
        raise BackboneError(f"--backbone pixel-timm:{model}: {reason}; give a timm model that has feature maps") from error


def _check_fit(unet: Any, generator: Generator, source: str | None) -> None:  # noqa: ANN401 - a diffusers UNet
    mine, theirs = unet.config, generator.unet.config
    for name, what in (("in_channels", "latent channels"), ("cross_attention_dim", "text channels")):
        if mine[name] != theirs[name]:
            raise BackboneError(
                f"--backbone-weights {source}: has {mine[name]} {what}, generator {generator.name} has {theirs[name]}; "
                "use a backbone of the same latent space and text encoders"
            )
