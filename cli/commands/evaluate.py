"""`lasro evaluate`: can this surrogate be trusted, and how far may it be climbed?"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cli.output import print_json, print_table
from reward_zoo.briefing import briefed, facts_of
from reward_zoo.errors import SpecError
from reward_zoo.terminal import note, progress

if TYPE_CHECKING:
    from cli.surrogate_app import EvaluateSettings
    from reward_zoo.workers import RewardWorkers


def evaluate(settings: EvaluateSettings, workers: RewardWorkers | None = None) -> None:
    """Roll out held-out prompts, ask the true reward, compare; writes SURROGATE/fidelity.json (with an adapter: drift.json)."""
    for name in ("max_prompts", "noises", "gradient_samples"):
        if getattr(settings, name) < 2:
            raise SpecError(f"--{name.replace('_', '-')} {getattr(settings, name)}: must be at least 2")

    from finetune.generators.pipeline import load_generator
    from finetune.generators.preset import find_preset
    from finetune.lora import load_lora
    from finetune.prompts import load_prompts, prompts_of
    from reward_zoo.workers import in_workers
    from surrogate.evaluation import evaluate_surrogate, roll_out
    from surrogate.folder import check_latent_space, load_surrogate, save_fidelity
    from surrogate.labelling import RewardMeter

    began = time.time()
    saved = load_surrogate(settings.surrogate)
    name = settings.generator or saved.config["generator"]
    texts = load_prompts(settings.prompts) if settings.prompts else prompts_of(find_preset(name), "eval_prompts", "--prompts")
    texts = texts[: settings.max_prompts]
    reward = briefed(in_workers(saved.config["reward"], workers), facts_of(settings.prompts), texts)
    loaded = load_generator(name, settings.device)
    check_latent_space(saved.surrogate, loaded)
    if settings.adapter is not None:
        load_lora(loaded.pipeline, settings.adapter)
    meter = RewardMeter(reward)
    with progress("roll out") as bar:
        data = roll_out(loaded, meter, texts, noises=settings.noises, seed=settings.seed, progress=bar)
    with progress("step along the gradient") as bar:
        found = evaluate_surrogate(
            loaded,
            saved.surrogate.to(loaded.device),
            meter,
            data,
            margin=saved.config["margin"],
            gradient_count=settings.gradient_samples,
            seed=settings.seed,
            progress=bar,
        )
    result: dict[str, Any] = {
        "surrogate": str(settings.surrogate),
        "reward": saved.config["reward"],
        "generator": name,
        "adapter": str(settings.adapter) if settings.adapter else None,
        "labels": saved.fidelity.get("labels"),
        "samples": len(data.scores),
        "reward_calls": meter.calls,
        **found,
        "minutes": (time.time() - began) / 60,
    }
    if settings.adapter:
        (saved.folder / "drift.json").write_text(json.dumps(result, indent=2))
    else:
        earlier = saved.fidelity.get("distillation", saved.fidelity)
        kept = {"prompts": earlier.get("prompts"), "distillation": earlier}
        save_fidelity(saved.folder, saved.config, {**kept, **result})
    print_json(result) if settings.json else _print(result)


def _print(result: dict[str, Any]) -> None:
    pairwise, gradient = result["pairwise"], result["gradient"]
    low, high = pairwise["ci95"]
    rows = [
        ("pairwise accuracy", f"{pairwise['accuracy']:.3f}  ({low:.3f} to {high:.3f}; ceiling {pairwise['ceiling']:.3f})"),
        *((f"  {stage} alone", f"{value:.3f}") for stage, value in result["accuracy_by_stage"].items()),
        *((f"  through noise t={time}", f"{value:.3f}") for time, value in result["accuracy_by_noise"].items()),
        ("Spearman", f"{result['spearman']:.3f}"),
    ]
    rows += [
        (
            f"step of RMS {part['step']:g}",
            f"true reward {part['gain']:+.3f}, random {part['random_gain']:+.3f} "
            f"(difference {part['ci95'][0]:+.3f} to {part['ci95'][1]:+.3f})",
        )
        for part in gradient["by_step"]
    ]
    print_table(("measured on held-out prompts", ""), rows)
    note(result["verdict"])
