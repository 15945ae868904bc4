"""Which of a backbone's weights are trained: all of them, a LoRA on its attention, or none."""

from __future__ import annotations

from torch import nn

from surrogate.backbones.base import Backbone
from surrogate.config import Tune
from surrogate.errors import BackboneError

LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


def add_lora(backbone: nn.Module, rank: int) -> None:
    """Put a LoRA on attention and feed-forward of the backbone's UNet.

    Raises:
        BackboneError: the backbone has no UNet.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if not hasattr(backbone, "unet"):
        raise BackboneError(f"--tune lora: backbone {backbone.kind} has no attention to put it on; use --tune full")
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(LORA_TARGETS), init_lora_weights=True)
    inject_adapter_in_model(config, backbone.unet, adapter_name="surrogate")


def tuned_parameters(backbone: Backbone, tune: Tune) -> list[nn.Parameter]:
    """The backbone's weights that are trained."""
    if tune == "head":
        return []
    idle, wanted = backbone.idle_parameters(), "lora_" if tune == "lora" else ""
    return [parameter for name, parameter in backbone.named_parameters() if parameter not in idle and wanted in name]


def lora_rank_of(module: nn.Module) -> int:
    """Rank of the LoRA inside, 0 without one."""
    return next((value.shape[0] for name, value in module.named_parameters() if "lora_A" in name), 0)
