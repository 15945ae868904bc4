"""How far the tensor preprocessing of rewards is from the PIL preprocessing their weights were trained with.

Run `python -m benchmarks.preprocessing` in the repository: it prints one row a reward, over 20 drawn images of 20 sizes, each
scored twice by a tiny random model at the published image size: as the reward does it, and on the reference's pixels.

* pixel max, mean: absolute difference of the pixels after normalisation.
* score max: largest absolute difference of the score.
* of spread: the mean absolute difference of the score, as a share of the spread of the scores over the images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torchvision.transforms.functional import normalize, pil_to_tensor
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, SiglipImageProcessorPil

import reward_zoo
from reward_zoo.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from tests.tiny.clip import build_clip, build_dino, build_head, build_mps, build_open_clip, build_siglip

SIZES = [(224, 224), (256, 256), (512, 512), (1024, 1024), (768, 512), (512, 768), (1024, 576), (576, 1024), (640, 480)]
SIZES += [(480, 640), (200, 150), (150, 200), (333, 517), (517, 333), (1280, 720), (900, 300), (300, 900), (96, 96)]
SIZES += [(229, 224), (383, 385)]
Pixels = Callable[[Image.Image], torch.Tensor]


def draw_image(width: int, height: int, seed: int) -> Image.Image:
    """Soft clouds, hard edges, thin lines, text and grain: what resizing can get wrong."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        corner, other = (rng.integers(0, [width, height]) for _ in range(2))
        box = [*np.minimum(corner, other).tolist(), *np.maximum(corner, other).tolist()]
        color = tuple(rng.integers(0, 256, 3).tolist())
        rng.choice([draw.rectangle, draw.ellipse])(box, fill=color)
        draw.line([*corner.tolist(), *other.tolist()], fill=color[::-1])
        draw.text(corner.tolist(), "LATENT", fill=color[::-1], font_size=max(12, height // 12))
    if seed % 2:
        image = image.filter(ImageFilter.GaussianBlur(1.5))
    grain = rng.normal(0, 4, (height, width, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).round().astype(np.uint8))


def processor_pixels(processor: Callable[..., dict]) -> Pixels:
    """The published processor of transformers, on PIL."""
    return lambda image: processor(images=image, return_tensors="pt")["pixel_values"]


def hpsv2_pixels(image: Image.Image) -> torch.Tensor:
    """HPSv2's own: the longer side to 224 with PIL, black around."""
    scale = 224 / max(image.size)
    small = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (224, 224))
    canvas.paste(small, ((224 - small.width) // 2, (224 - small.height) // 2))
    return normalize(pil_to_tensor(canvas).float() / 255, CLIP_MEAN, CLIP_STD)[None]


def rewards_and_references(folder: Path) -> dict[str, tuple[str, Pixels]]:
    """Reward name → (spec of a tiny model at the published size, reference pixels)."""
    import open_clip

    clip, siglip, dino = build_clip(folder / "clip", 224), build_siglip(folder / "siglip", 384), build_dino(folder / "dino")
    config, checkpoint = build_open_clip(folder, 224)
    transform = open_clip.image_transform(224, is_train=False)
    mps, text = build_mps(folder, 224)
    heads = [build_head(folder / f"{width}.pth", width, numbers) for width, numbers in HEADS]
    clip_pixels = processor_pixels(CLIPImageProcessorPil())
    siglip_pixels = processor_pixels(SiglipImageProcessorPil(size={"height": 384, "width": 384}, resample=3))
    dino_processor = BitImageProcessorPil(
        size={"shortest_edge": 256}, crop_size=224, resample=3, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD
    )
    return {
        "clip_score": (f"clip_score:weights={clip}", clip_pixels),
        "prompt_pair": (f"prompt_pair:weights={clip}", clip_pixels),
        "aesthetic": (f"aesthetic:weights={clip},head={heads[0]}", clip_pixels),
        "pickscore": (f"pickscore:weights={clip}", clip_pixels),
        "mps": (f"mps:weights={mps},clip={text}", clip_pixels),
        "clip_image_similarity": (f"clip_image_similarity:weights={clip}", clip_pixels),
        "open_clip_score": (f"open_clip_score:model={config},weights={checkpoint}", lambda image: transform(image)[None]),
        "hpsv2": (f"hpsv2:model={config},weights={checkpoint}", hpsv2_pixels),
        "siglip_score": (f"siglip_score:weights={siglip}", siglip_pixels),
        "aesthetic_v2_5": (f"aesthetic_v2_5:weights={siglip},head={heads[1]}", siglip_pixels),
        "dino_similarity": (f"dino_similarity:weights={dino}", processor_pixels(dino_processor)),
    }


HEADS = ((12, (0, 2, 4, 6, 7)), (16, (0, 2, 4, 6, 8)))


class Tap:
    """Sits before the first convolution of a reward's image tower: records the pixels, or puts others in their place."""

    def __init__(self, reward: reward_zoo.Reward) -> None:
        tower = getattr(reward, "clip", None) or getattr(reward.model, "model", reward.model)
        first = next(part for part in tower.modules() if isinstance(part, torch.nn.Conv2d))
        first.register_forward_pre_hook(self._swap)
        self.seen: list[torch.Tensor] = []
        self.instead: list[torch.Tensor] = []

    def _swap(self, _: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        self.seen.append(inputs[0])
        return (self.instead.pop(0),) if self.instead else inputs


def drift(spec: str, reference: Pixels, images: list[Image.Image]) -> tuple[float, float, float, float]:
    """(pixel max, pixel mean, score max, score mean as a share of the spread)."""
    reward = reward_zoo.load(spec)
    tap, pixels, scores = Tap(reward), [], []
    for image in images:
        given = {"prompts": "a red sign"} if "prompt" in reward.card.needs else {}
        turned = image.transpose(Image.Transpose.ROTATE_180)
        given |= {"references": turned} if "reference" in reward.card.needs else {}
        tap.seen.clear()
        own = reward(images=image, **given).values.item()
        pixels.append((tap.seen[0] - reference(image)).abs())
        tap.instead = [reference(image), reference(turned)][: len(tap.seen)]
        scores.append((own, reward(images=image, **given).values.item()))
    own, other = torch.tensor(scores).unbind(1)
    gap = (own - other).abs()
    return (
        max(part.max().item() for part in pixels),
        sum(part.mean().item() for part in pixels) / len(pixels),
        gap.max().item(),
        (gap.mean() / other.std()).item(),
    )


@torch.no_grad()
def main() -> None:
    """Print the table as Markdown."""
    images = [draw_image(width, height, seed) for seed, (width, height) in enumerate(SIZES)]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("clip", "siglip", "dino"):
            (Path(folder) / name).mkdir()
        rewards = rewards_and_references(Path(folder))
        print("| reward | pixel max | pixel mean | score max | of spread |\n|---|---|---|---|---|")
        for name, (spec, reference) in rewards.items():
            highest, mean, score, share = drift(spec, reference, images)
            print(f"| `{name}` | {highest:.3f} | {mean:.4f} | {score:.2g} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
