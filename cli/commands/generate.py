"""`lasro generate`: pictures from prompts."""

from __future__ import annotations

from pathlib import Path

from cli.failures import RunFolderError
from cli.output import note


def generate(
    *,
    prompts: list[str],
    out: Path,
    generator: str,
    adapter: Path | None,
    num_inference_steps: int,
    seeds: list[int],
    overwrite: bool,
) -> None:
    """Every prompt with every seed; one picture as it is, several as a grid."""
    if not 1 <= num_inference_steps <= 100:
        raise RunFolderError(f"--num-inference-steps {num_inference_steps}: must be from 1 to 100")
    if out.exists() and not overwrite:
        raise RunFolderError(f"--out {out}: exists; use --overwrite or another name")
    if out.suffix.lower() != ".png":
        raise RunFolderError(f"--out {out}: must end in .png")

    from cli.pictures import grid, to_pil
    from finetune.generators.pipeline import load_generator
    from finetune.lora import load_lora

    loaded = load_generator(generator)
    if adapter:
        load_lora(loaded.pipeline, adapter)
    pairs = [(prompt, seed) for prompt in prompts for seed in seeds]
    latents = loaded.sample([prompt for prompt, _ in pairs], [seed for _, seed in pairs], num_inference_steps)[-1]
    images = [to_pil(image) for image in loaded.decode(latents)]
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = images[0] if len(images) == 1 else grid(images, [prompt[:34] for prompt, _ in pairs], columns=len(seeds))
    picture.save(out)
    note(f"{len(images)} picture{'s' if len(images) > 1 else ''}: {out}")
