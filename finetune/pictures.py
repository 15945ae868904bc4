"""Pictures of a run: grids with the score under each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.tables import write_table

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from finetune.evaluation import Evaluation

_CAPTION = 14  # px under each picture
SHOWN = 24  # pairs of the before/after sheet


def to_pil(image: torch.Tensor) -> Image.Image:
    """3×H×W in [0, 1] → PIL."""
    from PIL import Image

    from reward_zoo.images import to_uint8

    return Image.fromarray(to_uint8(image[None])[0])


def grid(images: Sequence[Image.Image], captions: Sequence[str], *, columns: int) -> Image.Image:
    """Pictures in rows with a caption under each; small ones are enlarged to be seen."""
    from PIL import Image, ImageDraw

    scale = -(-192 // images[0].width)
    width, height = images[0].width * scale, images[0].height * scale
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 6) + 6, rows * (height + _CAPTION + 8) + 6), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = 6 + index % columns * (width + 6), 6 + index // columns * (height + _CAPTION + 8)
        sheet.paste(image.resize((width, height), Image.Resampling.NEAREST), (x, y))
        draw.text((x, y + height + 1), caption[: width // 6], fill="black")  # a letter of the built-in font is 6 px wide
    return sheet


def save_before_after(before: Evaluation, after: Evaluation, prompts: Sequence[str], folder: Path) -> None:
    """`before_after.png`: the same prompts and seeds in pairs, before left and after right, scores underneath."""
    if before.images is None or after.images is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    images, captions = [], []
    for row in range(min(SHOWN, len(before.images))):
        for name, evaluation in (("before", before), ("after", after)):
            images.append(to_pil(evaluation.images[row]))
            captions.append(f"{name} {_score(evaluation.scores, row)}  {prompts[row] if name == 'before' else ''}")
    grid(images, captions, columns=4).save(folder / "before_after.png")


def save_compared(before: Evaluation, after: Evaluation, prompts: Sequence[str], seeds: Sequence[int], folder: Path) -> None:
    """`compared.jsonl`: every held-out prompt's scores before and after, what the reward read, and the guards'; with pictures.

    The pictures that were kept are before/0000.png and after/0000.png, as they came from the generator.
    """
    records = []
    for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        record = {"prompt": prompt, "seed": seed}
        for name, found in (("before", before), ("after", after)):
            record[name] = {"score": float(found.scores[row])}
            if len(found.one_step):
                record[name]["one_step"] = float(found.one_step[row])
            if found.perceived:
                record[name]["perceived"] = found.perceived[row]
            record[name]["guards"] = {guard: float(scores[row]) for guard, scores in found.guards.items()}
            if found.images is not None and row < len(found.images):
                (folder / name).mkdir(parents=True, exist_ok=True)
                record[name]["picture"] = f"{name}/{row:04d}.png"
                to_pil(found.images[row]).save(folder / record[name]["picture"])
        records.append(record)
    write_table(folder / "compared.jsonl", records)


def validation_grid(found: Evaluation, prompts: Sequence[str]) -> Image.Image:
    """The pictures of a validation with their scores; the same prompts and seeds each time."""
    captions = [f"{_score(found.scores, row)}  {prompts[row]}" for row in range(len(found.images))]
    return grid([to_pil(image) for image in found.images], captions, columns=4)


def _score(scores: np.ndarray, row: int) -> str:
    return f"{scores[row]:.2f}"
