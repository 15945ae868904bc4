"""A made-up run folder in the format that `lasro quickstart` writes, without a run."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

EVIL = '<script>document.title = "caught"</script><img src=x onerror="document.title=\'caught\'"> "OPEN" & \'more\''
PROMPTS = [EVIL, *(f"a {color} sign number {number}" for number in range(14) for color in ("red", "blue"))]
STEPS = 40
CALIBRATION = [{"predicted": 0.1 * number, "true": 0.12 * number, "count": 4} for number in range(1, 8)]


def build_run(folder: Path, *, reward: str = "ocr", shift: float = 0.2, pictures: int = 29, finished: bool = True) -> Path:
    """The folder; `shift` is the gain of the reward, up and down by prompt."""
    samples, surrogate = folder / "samples", folder / "surrogate"
    for place in (samples / "before", samples / "after", surrogate):
        place.mkdir(parents=True)
    config = {"reward": reward, "generator": "tiny-signs", "finetune": {"method": "lasro", "steps": STEPS, "seed": 0}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write(folder / "environment.json", {"command": "lasro quickstart --out x", "device": "cpu", "packages": {"torch": "2"}})
    write(surrogate / "config.json", {"generator": "tiny-signs", "reward": reward})
    write(surrogate / "fidelity.json", fidelity())
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records()))
    for step in (0, 20, 40):
        Image.new("RGB", (400, 120), (step * 4, 90, 120)).save(samples / f"step-{step:08d}.png")
    if finished:
        rows = [pair(samples, number, shift, pictured=number < pictures) for number in range(len(PROMPTS))]
        (samples / "compared.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        write(folder / "summary.json", summary(reward, shift))
    return folder


def write(path: Path, data: dict[str, Any]) -> None:
    """As JSON."""
    path.write_text(json.dumps(data))


def pair(samples: Path, number: int, shift: float, *, pictured: bool) -> dict[str, Any]:
    """A row of compared.jsonl with its two pictures."""
    rng = random.Random(number)
    before = round(rng.uniform(0.2, 0.6), 2)
    row: dict[str, Any] = {"prompt": PROMPTS[number], "seed": number}
    for name, score in (("before", before), ("after", round(before + shift * rng.uniform(-1, 2), 2))):
        row[name] = {"score": score, "perceived": f"<i>{number}</i>", "guards": {"sharpness": 0.5}}
        if pictured:
            row[name]["picture"] = f"{name}/{number:04d}.png"
            Image.new("RGB", (64, 16), (rng.randrange(256), 90, 120)).save(samples / row[name]["picture"])
    return row


def records() -> list[dict[str, Any]]:
    """Lines of metrics.jsonl of both phases; one step was done twice."""
    distil = [{"phase": "distill", "step": step, "steps": 60, "loss": 6 - step / 20} for step in range(1, 61)]
    for record in distil[19::20]:
        record |= {"accuracy": 0.6 + record["step"] / 400, "spearman": 0.5}
    tune = []
    for step in range(STEPS + 1):
        calls = {"reward_calls": 32 * (step // 4), "validation_calls": 96 * (1 + step // 20)}
        record = {"phase": "finetune", "step": step, "steps": STEPS, **calls}
        if step:
            record |= {"surrogate_z1": 0.6, "surrogate_z2": 0.7 + step / 200, "distance": step / 1000, "band": 0.03}
        if step and step % 4 == 0:
            record |= {"fresh_accuracy": 0.75, "fresh_reward": 0.6}
        if step % 20 == 0:
            record |= {"validation_reward": 0.5 + step / 200, "best_step": step, "diversity": 0.3 - step / 1000}
            record["guards"] = {"artifact_guard": 0.99, "sharpness": 0.5}
        tune.append(record)
    return [*distil, *tune, tune[-1]]


def fidelity() -> dict[str, Any]:
    """Of the surrogate, as `lasro distill` leaves it."""
    pairwise = {"accuracy": 0.8, "ci95": [0.76, 0.84], "all_pairs": 0.77, "margin": 0.2, "pairs": 520, "ceiling": 0.94}
    stages = {"z1": 0.81, "z2": 0.79}
    return {"pairwise": pairwise, "spearman": 0.6, "accuracy_by_stage": stages, "calibration": CALIBRATION, "step": 40}


def change(before: float, after: float, low: float, high: float) -> dict[str, Any]:
    """Before and after with the interval of the change."""
    return {"before": before, "after": after, "ci95": [low, high], "samples": len(PROMPTS)}


def summary(reward: str, shift: float) -> dict[str, Any]:
    """summary.json of a tuned run."""
    return {
        "reward": change(0.641, 0.641 + shift, shift - 0.03, shift + 0.03),
        "reward_one_step": change(0.476, 0.7, 0.2, 0.25),
        "guards": [{"name": "sharpness", **change(0.5, 0.45, -0.08, -0.02)}],
        "alarms": {"blown_out": {"before": 0.0, "after": 0.01}},
        "diversity": {**change(0.3, 0.24, -0.08, -0.04), "ratio": 0.8},
        "distance_to_base": 0.1,
        "verdict": {
            "gained": True,
            "cheats": True,
            "reasons": ["guard sharpness fell from 0.500 to 0.450"],
            "warnings": ["pictures of one prompt are 0.80 times as different as before"],
            "words": "the reward rose, but it may have been cheated",
        },
        "method": "lasro",
        "reward_name": reward,
        "reward_calls": 5620,
        "calls": {"labels": 4500, "training": 640, "validation": 480, "evaluation": 1024},
        "best_step": 20,
        "stopped": "",
        "minutes": 5.7,
    }
