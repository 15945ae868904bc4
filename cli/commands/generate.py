"""`lasro generate`: pictures from prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.failures import RunFolderError
from cli.output import note, progress

if TYPE_CHECKING:
    import torch

    from finetune.generators.pipeline import SDXLGenerator


def generate(
    *,
    prompts: list[str],
    out: Path,
    generator: str,
    adapter: Path | None,
    num_inference_steps: int | None,
    seeds: list[int],
    surrogate: Path | None,
    best_of: int,
    optimize_noise: int,
    device: str,
    overwrite: bool,
) -> None:
    """Every prompt with every seed; one picture as it is, several as a grid."""
    _check_search(surrogate, best_of, optimize_noise)
    if num_inference_steps is not None and not 1 <= num_inference_steps <= 100:
        raise RunFolderError(f"--num-inference-steps {num_inference_steps}: must be from 1 to 100")
    if out.exists() and not overwrite:
        raise RunFolderError(f"--out {out}: exists; use --overwrite or another name")
    if out.suffix.lower() != ".png":
        raise RunFolderError(f"--out {out}: must end in .png")

    from cli.pictures import grid, to_pil
    from finetune.generators.pipeline import load_generator
    from finetune.lora import load_lora

    loaded = load_generator(generator, device)
    num_inference_steps = num_inference_steps or loaded.num_steps
    if optimize_noise and num_inference_steps != loaded.num_steps:
        raise RunFolderError(f"--optimize-noise climbs samples of {loaded.num_steps} steps; leave out --num-inference-steps")
    if adapter:
        load_lora(loaded.pipeline, adapter)
    pairs = [(prompt, seed) for prompt in prompts for seed in seeds]
    if surrogate is None:
        latents = loaded.sample([prompt for prompt, _ in pairs], [seed for _, seed in pairs], num_inference_steps)[-1]
    else:
        latents = _search(loaded, surrogate, pairs, best_of, optimize_noise, num_inference_steps)
    images = [to_pil(image) for image in loaded.decode(latents)]
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = images[0] if len(images) == 1 else grid(images, [prompt[:34] for prompt, _ in pairs], columns=len(seeds))
    picture.save(out)
    note(f"{len(images)} picture{'s' if len(images) > 1 else ''}: {out}")


def _check_search(surrogate: Path | None, best_of: int, optimize_noise: int) -> None:
    if best_of < 1 or optimize_noise < 0:
        raise RunFolderError(f"--best-of {best_of}, --optimize-noise {optimize_noise}: at least 1, and at least 0")
    if best_of > 1 and optimize_noise:
        raise RunFolderError("--best-of and --optimize-noise exclude each other; give one")
    if (best_of > 1 or optimize_noise > 0) != (surrogate is not None):
        raise RunFolderError("--best-of and --optimize-noise need --surrogate FOLDER, and it needs one of them")


def _search(
    generator: SDXLGenerator,
    folder: Path,
    pairs: list[tuple[str, int]],
    count: int,
    steps: int,
    num_inference_steps: int,
) -> torch.Tensor:
    """Latents that the surrogate likes better than plain samples of the same seeds."""
    import torch

    from finetune.inference import best_of, optimize_noise
    from surrogate.folder import check_latent_space, load_surrogate

    surrogate = load_surrogate(folder).surrogate.to(generator.device)
    check_latent_space(surrogate, generator)
    found, before, after = [], [], []
    with progress("search") as bar:
        for done, (prompt, seed) in enumerate(pairs):
            if steps:
                latents, scores = optimize_noise(generator, surrogate, [prompt], [seed], steps=steps)
                scores = scores[:, 0]
            else:
                latents, scores = best_of(
                    generator, surrogate, prompt, seed, count=count, num_inference_steps=num_inference_steps
                )
            found.append(latents)
            before.append(scores[0].item())
            after.append(scores.max().item())
            bar(done + 1, len(pairs), "")
    note(f"surrogate score {sum(before) / len(pairs):.3f} → {sum(after) / len(pairs):.3f}")
    return torch.cat(found)
