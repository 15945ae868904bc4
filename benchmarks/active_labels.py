"""Half the labels? Labelling the samples a surrogate is unsure of, against labelling any.

    python -m benchmarks.active_labels --work runs/surrogates --seeds 3

`ocr` on `tiny-signs`. A first reader learns from --first labels of random prompts. Then --more labels are added of the prompts
that are left: at random (`uniform`), or those with samples it reads least surely (`unsure`: mean entropy of its letters), and a
reader is trained anew on all. A third line adds so many random labels that the unsure ones are 0.6 of them. All are judged on
the same rollouts of test words. The pool is the store that benchmarks.surrogates labels.

One JSON line a training in benchmarks/results/active_labels.jsonl; what is there is not run again. `--table` prints the means.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reward_zoo
from benchmarks.reading import look
from benchmarks.surrogates import LABELS, labels, rollouts
from cli.bench.rows import Rows
from cli.output import print_table
from finetune.generators.pipeline import load_generator
from reward_zoo.terminal import note
from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.evaluation import order
from surrogate.hindsight import hindsight_of
from surrogate.model import Surrogate
from surrogate.sampling import LabelledLatents, split_by_prompt
from surrogate.seeding import stream

RESULTS = Rows(Path(__file__).parent / "results" / "active_labels.jsonl")
STEPS = 600
SHARE = 0.6
A_PROMPT = 3 * LABELS["noises"]  # labels


def doubt(surrogate: Surrogate, latents: torch.Tensor) -> torch.Tensor:
    """Mean entropy of the letters read off each latent, (N,)."""
    letters = look(surrogate, latents)
    return -(letters.exp() * letters).sum(-1).mean(-1)


def of_prompts(data: LabelledLatents, prompts: list[int]) -> LabelledLatents:
    """The rows of some prompts."""
    return data.rows(torch.isin(data.groups, torch.tensor(prompts)))


def one_seed(seed: int, work: Path, samples: int, first: int, more: int, device: str) -> Iterator[dict[str, Any]]:
    """Results of one seed, one training after the other."""
    generator, reward = load_generator("tiny-signs", device), reward_zoo.load("ocr")
    pool, held_out = split_by_prompt(labels(work, generator, reward, samples, LABELS), 0.12, stream(seed, "split"))
    held_out = held_out.rows(held_out.stages <= 2)
    test, _ = rollouts(work, "test", generator, reward)
    config = DistillConfig(seed=seed, steps=STEPS, reader="slots")  # which takes fewer steps

    def train(data: LabelledLatents) -> tuple[Surrogate, dict[str, Any]]:
        hindsight = hindsight_of(reward, config.hindsight)
        surrogate = train_surrogate(generator, data, held_out, config, margin=0.2, hindsight=hindsight).surrogate
        found = order(generator, surrogate, test, 0.2)
        return surrogate, {
            "seed": seed,
            "labels": len(data),
            "accuracy": found["pairwise"]["accuracy"],
            "spearman": found["spearman"],
        }

    names = pool.groups.unique()
    names = names[torch.randperm(len(names), generator=stream(seed, "order"))].tolist()
    start, rest = names[: first // A_PROMPT], names[first // A_PROMPT :]
    surrogate, found = train(of_prompts(pool, start))
    yield {"choice": "first", **found}
    left = of_prompts(pool, rest)
    entropy = doubt(surrogate, left.load().latents)
    mean = {name: entropy[left.groups == name].mean().item() for name in rest}
    unsure = sorted(rest, key=lambda name: -mean[name])
    count = more // A_PROMPT
    yield {"choice": "unsure", **train(of_prompts(pool, start + unsure[:count]))[1]}
    yield {"choice": "uniform", **train(of_prompts(pool, start + rest[:count]))[1]}
    larger = round((first + more) / SHARE) // A_PROMPT
    yield {"choice": "uniform", **train(of_prompts(pool, names[:larger]))[1]}


def main() -> None:
    """Run what is missing, or print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_080, help="labels in the pool")
    parser.add_argument("--first", type=int, default=1_200)
    parser.add_argument("--more", type=int, default=2_400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/surrogates"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        given.work.mkdir(parents=True, exist_ok=True)
        size = (given.first // A_PROMPT + given.more // A_PROMPT) * A_PROMPT
        for seed in range(given.seeds):
            if RESULTS.where(choice="unsure", seed=seed, labels=size):
                continue
            found = []
            for row in one_seed(seed, given.work, given.samples, given.first, given.more, given.device):
                note(json.dumps(row))
                found.append(row)
            for row in found:  # a seed is there as a whole, or not
                RESULTS.add(row)
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in RESULTS:
        rows.setdefault((row["choice"], row["labels"]), []).append(row)
    print_table(
        ("labels chosen", "labels", "seeds", "accuracy", "Spearman"),
        [
            (
                choice,
                f"{count:,}",
                str(len(found)),
                *(f"{np.mean([row[name] for row in found]):.3f}" for name in ("accuracy", "spearman")),
            )
            for (choice, count), found in sorted(rows.items(), key=lambda item: item[0][1])
        ],
    )


if __name__ == "__main__":
    main()
