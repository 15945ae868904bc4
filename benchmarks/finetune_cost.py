"""What a fine-tuning step costs at SDXL's true shape: LaSRO's gradient through a surrogate, or ReFL's through the pixels.

    python -m benchmarks.finetune_cost --sizes 512 1024 --batch-size 1          # on a GPU if there is one
    python -m benchmarks.finetune_cost --sizes 256 --device cpu --cases refl lasro-cnn

Random weights (neither time nor memory depends on their values), the frozen ones in bfloat16, a LoRA of rank 16 on the
attention in float32, gradient checkpointing in UNets and decoder. One step: both samples with gradient, the frozen
generator's for the anchor, the objective, backward, AdamW; the same `Method` that `lasro finetune` runs. `refl` decodes and
asks a ViT-L/16 as ImageReward's; `lasro` decodes pairs of pictures to keep them different, its cases `-no-variety` and
`-one-stage` none; of the latter's pictures one of the two steps alone has a gradient, as of `refl`'s. Peak memory is the
device's (CPU: the largest resident set of a process of its own).
Needs torch, diffusers, peft and timm alone, beside this repository; nothing is fetched.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases import run_cases
from benchmarks.gradient_cost import VAE, fill, peak_bytes, pixel_tower, surrogate_of, synchronise
from finetune.config import FinetuneConfig
from finetune.generators.pipeline import SDXLGenerator
from finetune.generators.preset import presets
from finetune.method import Critic, Workshop
from finetune.methods import load_method
from finetune.tuning import TunedWeights
from reward_zoo import Reward, RewardCard
from reward_zoo.preprocessing import resize
from surrogate.backbones.checkpoints import SDXL, empty_unet
from surrogate.config import DistillConfig
from surrogate.labelling import RewardMeter
from surrogate.sampling import ConditioningTable
from surrogate.types import LatentSpace, TextConditioning

CASES = ("refl", "lasro-full", "lasro-encoder", "lasro-cnn", "lasro-cnn-no-variety", "lasro-cnn-one-stage")
NO_VARIETY, ONE_STAGE = "-no-variety", "-one-stage"
REPEATS = 3


class BareGenerator(SDXLGenerator):
    """SDXL-Turbo's networks without its text encoders: every prompt is encoded as the same numbers."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.preset, self.name = presets()["sdxl-turbo"], "sdxl-turbo"
        self.unet = empty_unet(SDXL, "full").to(torch.bfloat16).to_empty(device=device)
        self.unet.enable_gradient_checkpointing()
        self.vae = AutoencoderKL(**VAE).to(device)
        self.vae.enable_gradient_checkpointing()
        for module in (self.unet, self.vae):
            fill(module)
        betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
        self.alphas_cumprod, self.prediction_type = DDPMScheduler(**betas).alphas_cumprod.to(device), "epsilon"
        self.latent_space, self.image_size = LatentSpace(4, size // 8, size // 8, 0.13025), (size, size)
        self.guidance, self.compute = None, torch.bfloat16

    def encode(self, prompts: Sequence[str]) -> TextConditioning:
        """The same numbers for each."""
        made = [torch.full((len(prompts), *shape), 0.1, device=self.unet.device) for shape in ((77, 2048), (1280,), (6,))]
        return TextConditioning(*made, tuple(prompts))


class TowerReward(Reward):
    """A differentiable reward of ImageReward's size."""

    card = RewardCard(
        name="vit_large",
        summary="an untrained ViT-L/16",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        source="timm",
        license="Apache-2.0",
        differentiable=True,
    )

    def __init__(self, device: torch.device) -> None:
        self.tower = pixel_tower(device)

    def score(self, inputs: Any) -> torch.Tensor:  # noqa: ANN401 - RewardInputs
        """(B,)."""
        with torch.autocast(inputs.images.device.type, torch.bfloat16):
            return self.tower(resize(inputs.images, 224, 224))[:, 0]


def measure(case: str, size: int, batch_size: int, device: torch.device) -> dict[str, Any]:
    """Images a second of a step (the median of three, after one whose operations are counted), and gigabytes at the peak."""
    name = "refl" if case == "refl" else "lasro"
    generator = BareGenerator(size, device)
    own = {"adapt_every": "1000000"} if name == "lasro" else {}
    if case.endswith((NO_VARIETY, ONE_STAGE)):
        own["variety_weight"] = "0"
    if case.endswith(ONE_STAGE):
        own["one_stage"] = "true"
    kind, settings = load_method(name, own)
    config = FinetuneConfig(method=name, batch_size=batch_size, lora_targets="attention")
    tuned, prompts = TunedWeights(generator.unet, config), [f"prompt {number}" for number in range(64)]
    critic = None
    if name == "lasro":
        backbone = case.removeprefix("lasro-").removesuffix(NO_VARIETY).removesuffix(ONE_STAGE).replace("cnn", "latent-cnn")
        distilled = DistillConfig(backbone=backbone).settled(perceives=False)
        critic = Critic(surrogate_of(backbone, size, device), distilled, margin=0.2)
    meter = RewardMeter(TowerReward(device)) if name == "refl" else RewardMeter(_Nothing())
    method = kind(Workshop(generator, tuned, meter, prompts, ConditioningTable(generator, prompts), config, critic), settings)
    optimizer, seconds = torch.optim.AdamW(tuned.parameters, lr=1e-4), []
    counter = FlopCounterMode(display=False)
    for step in range(1, 2 + REPEATS):
        synchronise(device)
        began = time.perf_counter()
        with counter if step == 1 else nullcontext():
            for loss in method.losses(step):
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        synchronise(device)
        seconds.append(time.perf_counter() - began)
    return {
        **{"case": case, "size": size, "batch_size": batch_size, "device": device.type},
        "images_per_second": batch_size / sorted(seconds[1:])[REPEATS // 2],
        "gigabytes": peak_bytes(device) / 2**30,
        "teraflop_per_image": counter.get_total_flops() / batch_size / 1e12,
    }


class _Nothing(Reward):
    """A true reward that is never asked here."""

    card = TowerReward.card

    def score(self, inputs: Any) -> torch.Tensor:  # noqa: ANN401
        """Zeros."""
        return torch.zeros(len(inputs.images))


def main() -> None:
    """Measure every case, and print ratios to `refl`."""
    columns = (
        ("images a second", lambda row, base: f"{row['images_per_second']:.3f}"),
        ("peak memory", lambda row, base: f"{row['gigabytes']:.2f} GB"),
        ("operations an image", lambda row, base: f"{row['teraflop_per_image']:.2f} TFLOP"),
        (
            "times faster",
            lambda row, base: f"{row['images_per_second'] / base['images_per_second']:.2f} x" if base else "",
        ),
    )
    run_cases(__doc__, CASES, measure, "refl", columns)


if __name__ == "__main__":
    main()
