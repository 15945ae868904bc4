"""`lasro quickstart`: distil `ocr` on `tiny-signs`, tune on it, compare; sized for a coffee break on two cores."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cli.commands.finetune import print_comparison
from cli.output import print_json
from cli.report.page import write_report
from finetune.config import FinetuneConfig
from finetune.errors import ConfigError
from reward_zoo.terminal import note
from surrogate.config import DistillConfig
from surrogate.runs.folder import RunFolder, open_run

DISTILL = {"noises": 3, "extra_steps": 8}
DISTILL_STEPS = 1500
DISTILLED = "distilled.json"  # the first job's result, in the run folder


def quickstart(
    *,
    out: Path,
    seed: int,
    samples: int,
    steps: int,
    eval_samples: int,
    device: str,
    overwrite: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Run both jobs in one folder."""
    if eval_samples < 1:
        raise ConfigError(f"--eval-samples {eval_samples}: must be at least 1")
    began = time.time()
    distill_config = DistillConfig(samples=samples, steps=DISTILL_STEPS, seed=seed, **DISTILL)
    tune_config = FinetuneConfig(steps=steps, seed=seed)
    with open_run(out, overwrite=overwrite, resume=resume) as run:
        result = _both_jobs(run, distill_config, tune_config, eval_samples, device, resume)
        result["minutes"] = (time.time() - began) / 60
        run.save_summary(result)
    result["report"] = str(write_report([out]))
    if as_json:
        print_json(result)
    else:
        print_comparison(result)
        note(f"surrogate: held-out pairwise accuracy {result['surrogate']['pairwise_accuracy']:.3f}")


def _distilled(run: RunFolder) -> dict[str, Any] | None:
    """The first job's result, if an earlier start of the run got so far."""
    kept = run.path / DISTILLED
    return json.loads(kept.read_text()) if kept.is_file() else None


def _both_jobs(
    run: RunFolder,
    distill_config: DistillConfig,
    tune_config: FinetuneConfig,
    eval_samples: int,
    device: str,
    resume: bool,
) -> dict[str, Any]:
    import reward_zoo
    from finetune.generators.pipeline import load_generator
    from finetune.guards import load_guards
    from finetune.jobs import TuningJob, critic_of, run_finetune
    from finetune.methods import load_method
    from finetune.prompts import load_prompts
    from surrogate.folder import load_surrogate
    from surrogate.jobs import run_distill

    generator, reward = load_generator("tiny-signs", device), reward_zoo.load("ocr")
    guards = load_guards(None, "ocr")
    prompts, eval_prompts = load_prompts("signs-train"), load_prompts("signs-test")[:eval_samples]
    given = {"reward": "ocr", "generator": "tiny-signs", "guards": list(guards)}
    run.save_config({**given, "distill": distill_config.as_dict(), "finetune": tune_config.as_dict()}, generator.device)
    distilled = _distilled(run) if resume else None
    distilled = distilled or run_distill(run, generator, reward, "ocr", prompts, distill_config)
    (run.path / DISTILLED).write_text(json.dumps(distilled, indent=2))
    job = TuningJob(
        generator=generator,
        reward=reward,
        reward_spec="ocr",
        prompts=prompts,
        test=eval_prompts,
        config=tune_config,
        method=load_method(tune_config.method, {}),
        critic=critic_of(load_surrogate(run.path / "surrogate"), reward),
        guards=guards,
    )
    tuned = run_finetune(run, job, resume=resume)
    pairwise = distilled["pairwise"]
    return {
        **tuned,
        "guard": next((guard for guard in tuned["guards"] if guard["name"] != "artifact_guard"), None),
        "reward_calls": distilled["reward_calls"] + tuned["reward_calls"],
        "calls": {"labels": distilled["reward_calls"], **tuned["calls"]},
        "surrogate": {
            "pairwise_accuracy": pairwise["accuracy"],
            "ceiling": pairwise["ceiling"],
            "spearman": distilled["spearman"],
            "folder": distilled["surrogate"],
        },
    }
