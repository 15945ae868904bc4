"""Tiny SDXL pipelines with random weights, saved in the published layout: what a hub folder looks like, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


def byte_level_tokenizer(pad_token: str) -> CLIPTokenizer:
    """CLIP's tokenizer with its special tokens and 77-token limit, but an alphabet for a vocabulary."""
    symbols = [chr(code) for code in range(33, 127)]
    vocabulary = {text: index for index, text in enumerate([*symbols, *(symbol + "</w>" for symbol in symbols)])}
    for text in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[text] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=[], pad_token=pad_token, model_max_length=77)


def text_config(projection: int, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """A one-head text encoder."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def build_sdxl(folder: Path, *, variant: str | None = "fp16", latent_channels: int = 4, seed: int = 0) -> Path:
    """Save an SDXL-Turbo-like pipeline: two tokenizers (the second pads with "!"), EulerAncestral with trailing steps."""
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = byte_level_tokenizer("<|endoftext|>"), byte_level_tokenizer("!")
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 32, 64),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(2, 2, 4),
        cross_attention_dim=32,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        scaling_factor=0.13025,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config(16, tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(16, tokenizer_2)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing", steps_offset=1
        ),
        add_watermarker=False,
    )
    pipeline.to(torch.float16 if variant == "fp16" else torch.float32).save_pretrained(folder, variant=variant)
    return folder


# The scheduler of stabilityai/stable-diffusion-xl-base-1.0, as its scheduler_config.json has it.
SDXL_SCHEDULER = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}


def build_sdxl_base(folder: Path, **options: object) -> Path:
    """An SDXL-base-like pipeline: as `build_sdxl`, with the published scheduler."""
    build_sdxl(folder, **options)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SDXL_SCHEDULER))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", SDXL_SCHEDULER["_class_name"]]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def build_weights(folder: Path, base: Path) -> dict[str, Path]:
    """What is published beside a base pipeline, in the published layouts.

    `unet.safetensors` and `unet.bin` (two other UNets' weights alone, in half precision), `lora.safetensors` and
    `kohya.safetensors` (two LoRAs), `guided` (a UNet folder with embedded guidance), `vae` (an autoencoder that is safe in
    half precision).
    """
    folder.mkdir(parents=True)
    for seed, name in ((1, "unet.safetensors"), (2, "unet.bin")):
        state = {key: value.half() for key, value in _another_unet(base, seed).state_dict().items()}
        save_file(state, folder / name) if name.endswith(".safetensors") else torch.save(state, folder / name)
    _another_unet(base, 3, time_cond_proj_dim=8).half().save_pretrained(folder / "guided", variant="fp16")
    vae = AutoencoderKL.from_pretrained(base / "vae", variant="fp16")
    vae.register_to_config(force_upcast=False)
    torch.manual_seed(4)
    vae.decoder.conv_out.weight.data.normal_(std=0.1)
    vae.save_pretrained(folder / "vae")
    _build_loras(folder, base)
    return {path.name: path for path in folder.iterdir()}


def _another_unet(base: Path, seed: int, **changes: object) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel.from_config({**UNet2DConditionModel.load_config(base / "unet"), **changes})


def _build_loras(folder: Path, base: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(base / "unet", variant="fp16")
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v", "conv1"], init_lora_weights=False))
    state = get_peft_model_state_dict(unet)
    StableDiffusionXLPipeline.save_lora_weights(folder / "peft", unet_lora_layers=state)
    (folder / "peft" / "pytorch_lora_weights.safetensors").rename(folder / "lora.safetensors")
    (folder / "peft").rmdir()
    kohya: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        module, part = key.removesuffix(".weight").rsplit(".lora_", 1)
        name = "lora_unet_" + module.replace(".", "_")
        kohya[f"{name}.lora_{'down' if part == 'A' else 'up'}.weight"] = value.half().contiguous()
        kohya[f"{name}.alpha"] = torch.tensor(1.0)  # half of the rank
    save_file(kohya, folder / "kohya.safetensors")
