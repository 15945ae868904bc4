"""Ways to make a surrogate, compared: backbones, losses, noise, at equal labels.

    python -m benchmarks.surrogates --samples 10080 --seeds 3 --work runs/surrogates

Every recipe learns `ocr` on `tiny-signs` from so many labels and is judged on the same rollouts of prompts whose words were
never trained on: pairwise accuracy (scores more than .2 apart), Spearman correlation, the gain of true reward by one step of
RMS 0.1 along the gradient against a random one, accuracy on samples of a tuned generator (--drifted ADAPTER), minutes of
training (on a CPU processor time by the number of threads, so that a pause does not count), and time and memory of one reward
gradient (16 latents). `--device` says where; rows name it.

One JSON line a recipe and seed in benchmarks/results/surrogates.jsonl; what is there is not run again. `--table` prints them.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reward_zoo
from benchmarks.gradient_cost import synchronise
from cli.bench.rows import Rows
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.lora import load_lora
from finetune.prompts import load_prompts
from reward_zoo.devices import quick
from reward_zoo.terminal import note
from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.evaluation import Rollouts, gradient_gain, order, roll_out
from surrogate.fidelity import noise_ceiling
from surrogate.hindsight import hindsight_of
from surrogate.labelling import RewardMeter
from surrogate.labels import run_label
from surrogate.model import Surrogate
from surrogate.runs.environment import machine
from surrogate.sampling import LabelledLatents, read_stores, split_by_prompt
from surrogate.seeding import stream

RESULTS = Rows(Path(__file__).parent / "results" / "surrogates.jsonl")
LABELS = {"noises": 4, "extra_steps": 8}
PAPERS_LABELS = {"noises": 6, "extra_steps": 0}  # LaSRO: six noises a prompt, one and two steps
UNET = {"steps": 240, "prompts_per_batch": 8}
RECIPES: dict[str, dict[str, Any]] = {
    "default (latent-cnn, reads by columns)": {},
    "pixel-cnn, reads by columns": {"backbone": "pixel-cnn"},
    "reader by slots": {"reader": "slots"},
    "paper: encoder, extremes": {
        "backbone": "encoder",
        "losses": ("bradley-terry-extremes",),
        "stages_apart": True,
        "hindsight": 0.0,
        **UNET,
    },
    "full UNet": {"backbone": "full", **UNET},
    "reader by slots, clean latents only": {"reader": "slots", "max_time": 1},
    "full UNet, LoRA of rank 32": {"backbone": "full", "tune": "lora", **UNET},
    "full UNet, clean latents only": {"backbone": "full", "max_time": 1, **UNET},
    "latent-vit": {"backbone": "latent-vit", "steps": 240, "prompts_per_batch": 8},
    "pixel-timm:resnet18": {"backbone": "pixel-timm:resnet18", "steps": 120, "prompts_per_batch": 8},  # 4 s a step
    "reader by slots, pairs alone": {"reader": "slots", "losses": ("bradley-terry-all",)},
    "reader by slots, best against worst alone": {"reader": "slots", "losses": ("bradley-terry-extremes",)},
    "reader by slots, regression alone": {"reader": "slots", "losses": ("regression",)},
    "reader by slots, listwise": {"reader": "slots", "losses": ("listwise",)},
    "reader by slots, no hindsight": {"reader": "slots", "hindsight": 0.0},
    "reader by slots, latents moved": {"reader": "slots", "max_shift": 1},
    "reader by slots, sure of letters": {"reader": "slots", "label_smoothing": 0.0},
    "reader by slots, three members": {"reader": "slots", "members": 3},
}


def labels(
    work: Path, generator: SDXLGenerator, reward: reward_zoo.Reward, samples: int, given: dict[str, int]
) -> LabelledLatents:
    """So many labels of seed 0, collected once."""
    config = DistillConfig(samples=samples, **given)
    folder = work / f"labels-{config.noises}-{config.extra_steps}"
    store, _ = run_label(folder, generator, reward, "ocr", load_prompts("signs-train"), config)
    data = read_stores([store])
    prompts = samples // (config.stages * config.noises)
    return data.rows(data.groups < prompts)


def rollouts(work: Path, name: str, generator: SDXLGenerator, reward: reward_zoo.Reward) -> tuple[Rollouts, float]:
    """What every surrogate is judged on, and the reward's ceiling there; drawn and scored once."""
    path = work / f"rollouts-{name}.pt"
    if not path.exists():
        meter = RewardMeter(reward)
        data = roll_out(generator, meter, load_prompts("signs-test")[:96], noises=4, seed=0)
        ceiling = noise_ceiling(generator, meter, data.latents, data.prompts, data.scores, data.groups, 0.2)
        torch.save({"data": vars(data), "ceiling": ceiling}, path)
    kept = torch.load(path, weights_only=False)
    return Rollouts(**kept["data"]), kept["ceiling"]


def cost_of_gradient(generator: SDXLGenerator, surrogate: Surrogate, data: Rollouts, count: int = 16) -> dict[str, float]:
    """Milliseconds of one reward gradient, and megabytes of what autograd keeps for it."""
    conditioning, kept = data.conditioning(generator, range(count)), {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    weights = {parameter.data_ptr() for parameter in surrogate.parameters()}
    times = []
    for _ in range(4):
        latents = data.latents[:count].to(generator.device, copy=True).requires_grad_(True)
        synchronise(generator.device)
        began = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), quick(generator.device):
            score = surrogate.score(latents, conditioning).sum()
        score.backward()
        synchronise(generator.device)
        times.append(time.perf_counter() - began)
    megabytes = sum(size for place, size in kept.items() if place not in weights) / 4 / 2**20
    return {"gradient_ms": 1000 * float(np.median(times)), "gradient_mb": megabytes}


def seconds(device: torch.device) -> float:
    """What training is timed by: processor time by the number of threads where the processor does the work, else the clock."""
    synchronise(device)
    return time.process_time() / torch.get_num_threads() if device.type == "cpu" else time.perf_counter()


def one(recipe: str, seed: int, samples: int, work: Path, drifted: Path | None, device: str) -> dict[str, Any]:
    """Train one surrogate and judge it."""
    generator, reward = load_generator("tiny-signs", device), reward_zoo.load("ocr")
    given = PAPERS_LABELS if recipe.startswith("paper") else LABELS
    data = labels(work, generator, reward, samples, given)
    training, held_out = split_by_prompt(data, 0.12, stream(seed, "split"))
    config = DistillConfig(seed=seed, **RECIPES[recipe])
    began = seconds(generator.device)
    held_out = held_out.rows(held_out.stages <= 2)
    hindsight = hindsight_of(reward, config.hindsight)
    distilled = train_surrogate(generator, training, held_out, config, margin=0.2, hindsight=hindsight)
    minutes = (seconds(generator.device) - began) / 60
    surrogate = distilled.surrogate.requires_grad_(False)
    test, ceiling = rollouts(work, "test", generator, reward)
    found = order(generator, surrogate, test, 0.2)
    step = gradient_gain(generator, surrogate, RewardMeter(reward), test, count=96, seed=0, step_sizes=[0.1])[0]
    result = {
        **{"recipe": recipe, "seed": seed, "labels": len(data), "minutes": minutes, "step": distilled.step},
        **{"accuracy": found["pairwise"]["accuracy"], "ci95": found["pairwise"]["ci95"], "ceiling": ceiling},
        **{"spearman": found["spearman"], "accuracy_by_noise": found["accuracy_by_noise"]},
        "gradient": {name: step[name] for name in ("gain", "random_gain", "ci95")},
        **cost_of_gradient(generator, surrogate, test),
        "machine": machine(generator.device),
    }
    if drifted is not None:
        load_lora(generator.pipeline, drifted)
        after, _ = rollouts(work, "drifted", generator, reward)
        found = order(generator, surrogate, after, 0.2)
        result |= {"accuracy_drifted": found["pairwise"]["accuracy"], "spearman_drifted": found["spearman"]}
    return result


def table() -> str:
    """Means over seeds, with the spread of the accuracy, and the least disturbed time of a gradient, as Markdown."""
    head = ("recipe", "labels", "seeds", "accuracy", "Spearman", "one step gains (random)", "drifted", "minutes", "gradient")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in RESULTS:
        rows.setdefault((result["recipe"], result["labels"]), []).append(result)

    def mean(results: list[dict[str, Any]], *names: str) -> float:
        found = []
        for result in results:
            for name in names:
                result = result.get(name, float("nan")) if isinstance(result, dict) else result
            found.append(result)
        return float(np.mean(found))

    for (recipe, count), results in sorted(rows.items(), key=lambda item: -mean(item[1], "accuracy")):
        accuracies = [result["accuracy"] for result in results]
        cells = (
            recipe,
            f"{count:,}",
            str(len(results)),
            f"{np.mean(accuracies):.3f} ({min(accuracies):.3f} to {max(accuracies):.3f})",
            f"{mean(results, 'spearman'):.3f}",
            f"{mean(results, 'gradient', 'gain'):+.3f} ({mean(results, 'gradient', 'random_gain'):+.3f})",
            f"{mean(results, 'accuracy_drifted'):.3f}",
            f"{mean(results, 'minutes'):.1f}",
            f"{min(result['gradient_ms'] for result in results):.0f} ms, {mean(results, 'gradient_mb'):.0f} MB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_080)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--work", type=Path, default=Path("runs/surrogates"))
    parser.add_argument("--drifted", type=Path, help="adapter folder of a tuned generator")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        for recipe in arguments.recipes:
            done = {(row["recipe"], row["seed"], row["labels"]) for row in RESULTS}
            if (recipe, seed, arguments.samples) in done:
                continue
            note(f"{recipe}, seed {seed}, {arguments.samples} labels")
            result = one(recipe, seed, arguments.samples, arguments.work, arguments.drifted, arguments.device)
            RESULTS.add(result)
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
