"""Tiny SDXL pipelines with random weights, saved in the published layout: what a hub folder looks like, in miniature."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
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
        layers_per_block=2,
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
