"""Stage 3: the diffusion UNet, trained from scratch on the frozen text encoders (v-prediction).

Signs are painted and encoded once, with their prompts. The first `--plain-steps` see plain signs, which follow from
the prompt alone, at large times only: there the letters can come from nowhere but the text, and cross-attention learns
to fetch them. Signs in their full variety follow. Large times are drawn more often than small ones: the word is
decided there, and few-step sampling lives there.
"""

from __future__ import annotations

import argparse
import random
import time
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import reward_zoo
from recipes.tiny_signs import data
from recipes.tiny_signs.loop import cosine, held_out_words, load_state, sample_sign, save_state, to_tensor
from recipes.tiny_signs.text import HIDDEN, encode, tokenize
from reward_zoo.devices import quick

TIME_IDS = (data.HEIGHT, data.WIDTH, 0, 0, data.HEIGHT, data.WIDTH)
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
}


def build_unet() -> UNet2DConditionModel:
    """SDXL's architecture in small: a convolutional first stage, two with cross-attention, text_time conditioning."""
    return UNet2DConditionModel(
        sample_size=(data.HEIGHT // 4, data.WIDTH // 4),
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 1),
        attention_head_dim=(2, 4, 4),
        cross_attention_dim=2 * HIDDEN,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=6 * 32 + HIDDEN,
    )


class TextReader:
    """The frozen text encoders of stage 2: prompts in, the UNet's text conditioning out.

    `folder` has them in a pipeline's layout: `work/text`, or a packed pipeline.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.encoders = (
            CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval(),
            CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2").float().eval(),
        )

    @torch.no_grad()
    def __call__(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states B×48×256 and pooled embeddings B×128, float32."""
        return encode(self.encoders, tokenize(self.tokenizer, prompts))


def predict_v(
    unet: UNet2DConditionModel, latents: torch.Tensor, times: torch.Tensor, text: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """The UNet's v for noisy latents, in bfloat16 arithmetic, as float32."""
    hidden, pooled = text
    time_ids = torch.tensor(TIME_IDS, dtype=torch.float32).expand(len(latents), -1)
    conditioning = {"text_embeds": pooled, "time_ids": time_ids}
    with quick(torch.device("cpu")):
        return unet(latents, times, hidden, added_cond_kwargs=conditioning).sample.float()


def encode_signs(work: Path, vae: AutoencoderKL, reader: TextReader, pictures: int, *, plain: bool) -> dict[str, torch.Tensor]:
    """Paint and encode a training set once, kept in `work` (all fp16): scaled latents, hidden states, pooled."""
    path = work / ("plain_signs.pt" if plain else "signs.pt")
    if state := load_state(path):
        return state
    rng, held_out = random.Random(2 if plain else 3), held_out_words(work)
    words = [word for word in data.english_words() if word not in held_out]
    rows: list[tuple[torch.Tensor, ...]] = []
    began = time.time()
    for start in range(0, pictures, 100):
        prompts, painted = zip(*(sample_sign(rng, words, held_out, plain=plain) for _ in range(100)), strict=True)
        with torch.no_grad(), quick(torch.device("cpu")):
            mean = vae.encode(to_tensor(list(painted))).latent_dist.mean
            hidden, pooled = reader(list(prompts))
        rows.append(((mean.float() * vae.config.scaling_factor).half(), hidden.half(), pooled.half()))
        if start % 5000 == 0:
            print(f"encoded {start}/{pictures} {time.time() - began:.0f}s", flush=True)
    latents, hidden, pooled = (torch.cat(column) for column in zip(*rows, strict=True))
    save_state(path, latents=latents, hidden=hidden, pooled=pooled)
    return {"latents": latents, "hidden": hidden, "pooled": pooled}


def sample_times(count: int, *, plain: bool) -> torch.Tensor:
    """Half uniform over all times, half over the upper half; for plain signs from 600 up."""
    if plain:
        return torch.randint(600, 1000, (count,))
    times = torch.randint(0, 1000, (count,))
    return torch.where(torch.rand(count) < 0.5, times, 500 + times // 2)


@torch.no_grad()
def sample(unet: UNet2DConditionModel, text: tuple[torch.Tensor, torch.Tensor], times: list[int], *, seed: int) -> torch.Tensor:
    """x0 after one network call per time, with fresh noise between the calls, as the packed LCMScheduler does."""
    generator = torch.Generator().manual_seed(seed)
    alphas = DDPMScheduler(**SCHEDULE).alphas_cumprod
    noise = torch.randn(len(text[0]), 4, data.HEIGHT // 4, data.WIDTH // 4, generator=generator)
    x0 = torch.zeros_like(noise)
    for index, step in enumerate(times):
        root, sigma = alphas[step].sqrt(), (1 - alphas[step]).sqrt()
        if index:
            noise = torch.randn(noise.shape, generator=generator)
        latents = root * x0 + sigma * noise if index else noise
        v = predict_v(unet, latents, torch.full((len(noise),), step), text)
        x0 = root * latents - sigma * v
    return x0


@torch.no_grad()
def read_scores(vae: AutoencoderKL, unet: UNet2DConditionModel, reader: TextReader, prompts: list[str]) -> dict[str, float]:
    """Mean OCR score (`ned`) of one-step, two-step and 25-step samples for `prompts`; the times are LCMScheduler's."""
    reward = reward_zoo.load("ocr")
    text = reader(prompts)
    scores = {}
    plans = {"one": [999], "two": [999, 499], "many": list(range(999, 0, -40))}
    for name, times in plans.items():
        x0 = sample(unet, text, times, seed=0)
        images = (vae.decode(x0 / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        scores[name] = round(reward(images=images, prompts=prompts).values.mean().item(), 3)
    return scores


@torch.no_grad()
def text_gap(unet: UNet2DConditionModel, store: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Error of x0 from pure noise with the right hidden states and with another picture's: is cross-attention used?"""
    generator = torch.Generator().manual_seed(0)
    x0, hidden, pooled = (store[name][:128].float() for name in ("latents", "hidden", "pooled"))
    times, noise = torch.full((len(x0),), 999), torch.randn(x0.shape, generator=generator)
    right, wrong = (predict_v(unet, noise, times, (h, pooled)) for h in (hidden, hidden.roll(1, 0)))
    return round(F.mse_loss(right, -x0).item(), 4), round(F.mse_loss(wrong, -x0).item(), 4)


def train_step(
    unet: UNet2DConditionModel, store: dict[str, torch.Tensor], batch_size: int, alphas: torch.Tensor, *, plain: bool
) -> torch.Tensor:
    """The loss of one random batch."""
    rows = torch.randint(0, len(store["latents"]), (batch_size,))
    x0, hidden, pooled = (store[name][rows].float() for name in ("latents", "hidden", "pooled"))
    times, noise = sample_times(batch_size, plain=plain), torch.randn_like(x0)
    root, sigma = alphas[times].sqrt()[:, None, None, None], (1 - alphas[times]).sqrt()[:, None, None, None]
    v = predict_v(unet, root * x0 + sigma * noise, times, (hidden, pooled))
    return F.mse_loss(v, root * noise - sigma * x0)


def train(options: argparse.Namespace) -> None:
    """Train the UNet; its averaged weights go to `work/unet.pt` under `ema`."""
    work, test_prompts = options.work, options.prompts.read_text().splitlines()[:64]
    reader, vae = TextReader(work / "text"), AutoencoderKL.from_pretrained(work / "vae").eval()
    unet = build_unet().to(memory_format=torch.channels_last)
    # On CPU the fused attention's backward pass is slower than plain matrix products at this size.
    unet.set_attn_processor(AttnProcessor())
    ema = deepcopy(unet).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    start, checkpoint = 0, work / "unet.pt"
    if state := load_state(checkpoint):
        unet.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        if "optimizer" in state:  # not after `unpack`
            optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    torch.manual_seed(start + 10)
    alphas = DDPMScheduler(**SCHEDULE).alphas_cumprod
    began, running, store = time.time(), 0.0, None
    for step in range(start, options.steps):
        plain = step < options.plain_steps
        if store is None or step == options.plain_steps:
            store = encode_signs(work, vae, reader, options.pictures, plain=plain)
        loss = train_step(unet, store, options.batch_size, alphas, plain=plain)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * cosine(step, options.steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - decay)
        running = loss.item() if step == start else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 0:
            gap = text_gap(unet, store)
            print(f"unet {step}/{options.steps} loss {running:.4f} gap {gap} {time.time() - began:.0f}s", flush=True)
        if step % 500 == 499 or step == options.steps - 1:
            state = {"model": unet.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(checkpoint, step=step + 1, **state)
            print(f"unet {step + 1} ocr {read_scores(vae, ema, reader, test_prompts)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--prompts", type=Path, default=Path("finetune/generators/tiny_signs/prompts/signs-test.txt"))
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--pictures", type=int, default=20000)
    parser.add_argument("--plain-steps", type=int, default=1000)
    train(parser.parse_args())
