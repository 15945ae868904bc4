"""`lasro generate`: pictures from prompts and seeds, with what they are made of, and scores."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import print_json, print_table
from cli.picture_metadata import is_ours, save_png
from reward_zoo.errors import SpecError
from reward_zoo.terminal import note, progress
from surrogate.errors import RunFolderError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from cli.generate_app import GenerateSettings
    from finetune.generators.pipeline import SDXLGenerator
    from reward_zoo import Reward

BASE, TUNED = "base", "tuned"
LARGEST_SEED = 2**63 - 1


@dataclass
class Painted:
    """Pictures of every prompt and seed by one generator, and their scores by reward."""

    images: list[Image] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)


def generate(settings: GenerateSettings) -> None:
    """Every prompt with every seed; with --compare, by both generators."""
    _check(settings)
    from finetune.prompts import load_prompts
    from reward_zoo.briefing import briefed, facts_of
    from reward_zoo.loading import load

    prompts = [*(settings.prompt or []), *(load_prompts(settings.prompts)[: settings.max_prompts] if settings.prompts else [])]
    pairs = [(prompt, seed) for prompt in prompts for seed in seeds_of(settings.seed or ["0"])]
    facts = facts_of(settings.prompts)
    rewards = {spec: briefed(load(spec), facts, prompts) for spec in settings.reward or []}

    from finetune.generators.pipeline import load_generator
    from finetune.lora import load_lora

    loaded = load_generator(settings.generator, settings.device)
    steps = settings.num_inference_steps or loaded.num_steps
    if settings.optimize_noise and steps != loaded.num_steps:
        raise RunFolderError(f"--optimize-noise climbs samples of {loaded.num_steps} steps; leave out --num-inference-steps")
    painter = Painter(loaded, settings, steps, rewards)
    found = {BASE: painter.paint(pairs, BASE)} if settings.compare or not settings.adapter else {}
    if settings.adapter:
        load_lora(loaded.pipeline, settings.adapter)
        found[TUNED] = painter.paint(pairs, TUNED)
    parameters = [{"prompt": prompt, "seed": seed, **_made_by(settings, loaded, steps)} for prompt, seed in pairs]
    _clear(settings.out)
    result = _save(settings, found, parameters)
    if settings.json:
        print_json(result)
    else:
        _report(result, len(pairs) * len(found))


def _check(settings: GenerateSettings) -> None:
    """See to everything that needs no network loaded."""
    out, steps = settings.out, settings.num_inference_steps
    if not settings.prompt and not settings.prompts:
        raise SpecError("generate: give --prompt TEXT, or --prompts of a file")
    if out is None:
        raise SpecError("generate: give --out NAME.png, or --out FOLDER")
    if settings.compare and settings.adapter is None:
        raise SpecError("--compare paints without and with an adapter; give --adapter FOLDER")
    for flag, value in (("--batch-size", settings.batch_size), ("--max-prompts", settings.max_prompts)):
        if value is not None and value < 1:
            raise SpecError(f"{flag} {value}: must be at least 1")
    seeds_of(settings.seed or [])
    _check_search(settings.surrogate, settings.best_of, settings.optimize_noise)
    if steps is not None and not 1 <= steps <= 100:
        raise RunFolderError(f"--num-inference-steps {steps}: must be from 1 to 100")
    if out.suffix and out.suffix.lower() != ".png" and not out.is_dir():
        raise RunFolderError(f"--out {out}: must end in .png, or be a folder")
    if out.exists() and not settings.overwrite and not (out.is_dir() and not any(out.iterdir())):
        raise RunFolderError(f"--out {out}: exists; use --overwrite or another name")


def _check_search(surrogate: Path | None, best_of: int, optimize_noise: int) -> None:
    if best_of < 1 or optimize_noise < 0:
        raise RunFolderError(f"--best-of {best_of}, --optimize-noise {optimize_noise}: at least 1, and at least 0")
    if best_of > 1 and optimize_noise:
        raise RunFolderError("--best-of and --optimize-noise exclude each other; give one")
    if (best_of > 1 or optimize_noise > 0) != (surrogate is not None):
        raise RunFolderError("--best-of and --optimize-noise need --surrogate FOLDER, and it needs one of them")


def seeds_of(texts: list[str]) -> list[int]:
    """The distinct seeds that texts like 0, 4-7 or 1,5,9 name.

    Raises:
        SpecError: a text that names none.
    """
    found: list[int] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        low, _, high = part.partition("-")
        if not low.isdecimal() or (high and not high.isdecimal()) or part.endswith("-") or int(high or low) < int(low):
            raise SpecError(f"--seed {part}: write a whole number, a range as 0-7, or several with commas between")
        if int(high or low) > LARGEST_SEED:
            raise SpecError(f"--seed {part}: must be at most {LARGEST_SEED}")
        found += range(int(low), int(high or low) + 1)
    return list(dict.fromkeys(found))


def _made_by(settings: GenerateSettings, loaded: SDXLGenerator, steps: int) -> dict[str, Any]:
    """What all pictures share."""
    height, width = loaded.image_size
    made = {"generator": settings.generator, "num_inference_steps": steps, "sampler": loaded.preset.sampler}
    made |= {"guidance_scale": loaded.preset.guidance_scale or 1.0, "size": f"{width}x{height}"}
    if settings.surrogate:
        made |= {"surrogate": str(settings.surrogate), "best_of": settings.best_of, "optimize_noise": settings.optimize_noise}
    return made


class Painter:
    """A generator as it is now, with what its pictures are scored by."""

    def __init__(self, generator: SDXLGenerator, settings: GenerateSettings, steps: int, rewards: dict[str, Reward]) -> None:
        self.generator, self.settings, self.steps, self.rewards = generator, settings, steps, rewards

    def paint(self, pairs: list[tuple[str, int]], title: str) -> Painted:
        """Pictures of (prompt, seed) pairs, and their scores."""
        from finetune.pictures import to_pil

        found, size = Painted(scores={spec: [] for spec in self.rewards}), self.settings.batch_size
        with progress(f"paint {title}") as bar:
            for start in range(0, len(pairs), size):
                some = pairs[start : start + size]
                images = self.generator.decode(self._latents(some)).cpu()
                found.images += [to_pil(image) for image in images]
                for spec, reward in self.rewards.items():
                    found.scores[spec] += reward(images=images, prompts=[prompt for prompt, _ in some]).values.tolist()
                bar(start + len(some), len(pairs))
        return found

    def _latents(self, pairs: list[tuple[str, int]]) -> torch.Tensor:
        if self.settings.surrogate is None:
            prompts, seeds = zip(*pairs, strict=True)
            return self.generator.sample(list(prompts), list(seeds), self.steps)[-1]
        return _search(self.generator, self.settings, pairs, self.steps)


def _search(generator: SDXLGenerator, settings: GenerateSettings, pairs: list[tuple[str, int]], steps: int) -> torch.Tensor:
    """Latents that the surrogate likes better than plain samples of the same seeds."""
    import torch

    from finetune.inference import best_of, optimize_noise
    from surrogate.folder import check_latent_space, load_surrogate

    surrogate = load_surrogate(settings.surrogate).surrogate.to(generator.device)
    check_latent_space(surrogate, generator)
    found, before, after = [], [], []
    for prompt, seed in pairs:
        if settings.optimize_noise:
            latents, scores = optimize_noise(generator, surrogate, [prompt], [seed], steps=settings.optimize_noise)
            scores = scores[:, 0]
        else:
            count = settings.best_of
            latents, scores = best_of(generator, surrogate, prompt, seed, count=count, num_inference_steps=steps)
        found.append(latents)
        before.append(scores[0].item())
        after.append(scores.max().item())
    note(f"surrogate score {sum(before) / len(pairs):.3f} → {sum(after) / len(pairs):.3f}")
    return torch.cat(found)


def _clear(out: Path) -> None:
    """Take earlier pictures of lasro's out of a folder, so that what is there was made together; other files stay."""
    for folder in (out / BASE, out / TUNED, out):
        for path in filter(is_ours, folder.glob("*.png")):
            path.unlink()
        if folder != out and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _save(settings: GenerateSettings, found: dict[str, Painted], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """One picture, a grid, or a folder of both; what was made, as JSON data."""
    from finetune.pictures import grid

    rows, cells = [], []
    for row, made in enumerate(parameters):
        line = {"prompt": made["prompt"], "seed": made["seed"]}
        for who, painted in found.items():
            scores = {spec: values[row] for spec, values in painted.scores.items()}
            made_so = {
                **made,
                **({"adapter": str(settings.adapter)} if who == TUNED else {}),
                **({"scores": scores} if scores else {}),
            }
            line[who] = {"scores": scores} | _save_one(settings, row, who, painted.images[row], made_so, len(found))
            cells.append((painted.images[row], _caption(who, scores, made["prompt"], len(found)), made_so))
        rows.append(line)
    result = {"out": str(settings.out), "pictures": rows, "means": _means(found)}
    if settings.out.suffix.lower() == ".png" and len(cells) == 1:
        save_png(cells[0][0], settings.out, cells[0][2])
        return result
    columns = len(found) if len(found) > 1 else len({made["seed"] for made in parameters})
    sheet = grid([cell[0] for cell in cells], [cell[1] for cell in cells], columns=columns)
    path = settings.out if settings.out.suffix.lower() == ".png" else settings.out / "grid.png"
    save_png(sheet, path, {**parameters[0], "pictures": [cell[2] for cell in cells]})
    return {**result, "grid": str(path)}


def _save_one(
    settings: GenerateSettings, row: int, who: str, image: Image, made: dict[str, Any], generators: int
) -> dict[str, str]:
    """A picture by itself, where --out is a folder; those of two generators in a folder each, under the same names."""
    if settings.out.suffix.lower() == ".png":
        return {}
    words = re.sub(r"\W+", "-", made["prompt"].lower()).strip("-")[:40]
    folder = settings.out / who if generators > 1 else settings.out
    path = folder / f"{row:04d}-{words}-{made['seed']}.png"
    save_png(image, path, made)
    return {"file": str(path)}


def _caption(who: str, scores: dict[str, float], prompt: str, generators: int) -> str:
    parts = [who] if generators > 1 else []
    parts += [f"{spec.split(':')[0]} {value:.2f}" for spec, value in scores.items()]
    return "  ".join([*parts, prompt if who == BASE or generators == 1 else ""]).strip()


def _means(found: dict[str, Painted]) -> dict[str, dict[str, Any]]:
    """By reward, the mean score of each generator; of two, also their difference with its interval."""
    import numpy as np

    from finetune.statistics import paired_interval

    means: dict[str, dict[str, Any]] = {}
    for spec in next(iter(found.values())).scores:
        values = {who: np.array(painted.scores[spec], dtype=float) for who, painted in found.items()}
        means[spec] = {who: float(np.nanmean(scores)) for who, scores in values.items()}
        if len(values) > 1:
            both = np.isfinite(values[BASE]) & np.isfinite(values[TUNED])
            means[spec]["ci95"] = list(paired_interval(values[BASE][both], values[TUNED][both]))
    return means


def _report(result: dict[str, Any], count: int) -> None:
    if result["means"]:
        who = [name for name in (BASE, TUNED) if name in result["pictures"][0]]
        rows = [
            (
                spec,
                *(f"{means[name]:.3f}" for name in who),
                *([f"{means['ci95'][0]:+.3f} to {means['ci95'][1]:+.3f}"] if "ci95" in means else []),
            )
            for spec, means in result["means"].items()
        ]
        print_table(("reward", *who, *(["95 % interval of the gain"] if len(who) > 1 else [])), rows)
    note(f"{count} picture{'s' if count > 1 else ''}: {result['out']}")
    if BASE in result["pictures"][0] and "file" in result["pictures"][0].get(TUNED, {}):
        note(f"next: lasro compare {result['out']}")
