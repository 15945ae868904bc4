"""Why two steps are hard: the paper's analysis on the embedded generator, by number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import reward_zoo
from cli.bench.rows import Rows
from finetune.analysis import StepAnalysis, likelihood_share
from finetune.generators.pipeline import load_generator
from finetune.prompts import load_prompts
from reward_zoo.terminal import progress

GENERATOR = "tiny-signs"
STEPS = (1, 2, 4, 8, 25)
PROMPTS, CHAIN_PROMPTS = 48, 24  # of diversity and smoothness; of the gradient's noise, four chains each


def run_analysis(folder: Path, device: str, steps: Sequence[int] = STEPS) -> list[dict[str, Any]]:
    """What is missing is measured; all rows, by number of steps."""
    rows = Rows(folder / "analysis.jsonl")
    missing = [count for count in steps if not rows.where(steps=count)]
    generator, reward = (load_generator(GENERATOR, device), reward_zoo.load("ocr")) if missing else (None, None)
    with progress("analysis") as bar:
        for done, count in enumerate(missing):
            bar(done, len(missing), f"{count} steps")
            prompts = load_prompts("signs-test")
            wide, narrow = StepAnalysis(generator, prompts[:PROMPTS]), StepAnalysis(generator, prompts[:CHAIN_PROMPTS])
            mean, high = wide.lipschitz(count)
            noise = narrow.gradient_noise(count, lambda images, texts: reward(images=images, prompts=texts).values)
            rows.add(
                {
                    "steps": count,
                    "diversity": wide.diversity(count),
                    "lipschitz": mean,
                    "lipschitz_q95": high,
                    "gradient_noise": None if noise == float("inf") else noise,
                    "likelihood_share": likelihood_share(count),
                }
            )
    return sorted(rows, key=lambda row: row["steps"])


def save_plot(rows: list[dict[str, Any]], path: Path) -> None:
    """The four quantities over the number of steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {
        "diversity": "diversity of one prompt and start noise",
        "lipschitz": "Lipschitz constant, noise → latent",
        "gradient_noise": "policy gradient: variance / |mean|²",
        "likelihood_share": "share of the chain with a likelihood",
    }
    figure, axes = pyplot.subplots(1, len(titles), figsize=(15, 3.4), layout="constrained")
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        known = [row for row in rows if row[name] is not None]
        axis.plot([row["steps"] for row in known], [row[name] for row in known], marker="o")
        axis.set_xscale("log", base=2)
        axis.set_xticks([row["steps"] for row in rows], [str(row["steps"]) for row in rows])
        axis.set_yscale("log" if name == "gradient_noise" else "linear")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("network calls a picture")
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
