"""LoRA on the generator's UNet: attach, switch off for the anchor, copy out, save for diffusers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from finetune.errors import GeneratorError

ADAPTER = "default"
TARGETS = {
    "attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "all": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2"],
}
WEIGHTS_FILE = "pytorch_lora_weights.safetensors"


def attach_lora(unet: torch.nn.Module, *, rank: int, targets: str, seed: int) -> list[torch.nn.Parameter]:
    """Add a trainable LoRA (alpha = rank) that starts as the identity; the list of its parameters.

    Raises:
        GeneratorError: the UNet has one.
    """
    if getattr(unet, "peft_config", None):
        raise GeneratorError("the generator has an adapter already, and tuning starts from one without; load it anew")
    torch.manual_seed(seed)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS[targets], init_lora_weights="gaussian"))
    cast_training_params(unet, dtype=torch.float32)  # on a half-precision UNet small steps would be rounded away
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


@contextmanager
def lora_off(unet: torch.nn.Module) -> Iterator[None]:
    """Inside, the UNet is the frozen one."""
    unet.disable_adapters()
    try:
        yield
    finally:
        unet.enable_adapters()


def lora_state(unet: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the LoRA's weights."""
    return {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(unet).items()}


def set_lora_state(unet: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put weights of `lora_state` back."""
    set_peft_model_state_dict(unet, state)


def save_lora(state: dict[str, torch.Tensor], folder: Path) -> None:
    """Write `pytorch_lora_weights.safetensors` as diffusers' `load_lora_weights` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    StableDiffusionXLPipeline.save_lora_weights(folder, unet_lora_layers=state)


def load_lora(pipeline: StableDiffusionXLPipeline, folder: str | Path) -> None:
    """Load an adapter folder into a pipeline.

    Raises:
        GeneratorError: no adapter there, or one of another architecture.
    """
    if not (Path(folder) / WEIGHTS_FILE).is_file():
        raise GeneratorError(f"adapter {folder}: {WEIGHTS_FILE} is missing; give the adapter folder that lasro finetune wrote")
    logging.getLogger("diffusers.loaders.lora_base").setLevel(logging.ERROR)  # that the text encoders have none is no news
    try:
        pipeline.load_lora_weights(str(folder), adapter_name=ADAPTER)
    except Exception as error:
        raise GeneratorError(f"adapter {folder}: does not fit the generator ({str(error).splitlines()[0]})") from error


def merge_lora(pipeline: StableDiffusionXLPipeline, folder: str | Path) -> None:
    """Add an adapter folder's weights to the UNet's own, for good.

    Raises:
        GeneratorError: see `load_lora`.
    """
    load_lora(pipeline, folder)
    pipeline.fuse_lora(components=["unet"], adapter_names=[ADAPTER])
    pipeline.unload_lora_weights()
