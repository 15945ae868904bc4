"""`lasro finetune`: flags to settings, settings to a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.commands.plan import plan_tuning
from cli.output import print_json, print_table
from cli.report.page import write_report
from cli.settings import as_config, chosen
from finetune.config import FinetuneConfig
from finetune.trackers import check_names
from reward_zoo.terminal import note
from surrogate.runs.folder import check_out, open_run

if TYPE_CHECKING:
    from cli.tuning_app import FinetuneSettings
    from reward_zoo.workers import RewardWorkers


def finetune(settings: FinetuneSettings, workers: RewardWorkers | None = None) -> None:
    """Check everything that can be checked, then run."""
    out, trackers = settings.out or Path("runs/tuned"), settings.trackers or ["tensorboard"]
    check_names(trackers)
    check_out(out, **settings.writing)

    from finetune.jobs import run_finetune
    from finetune.order import TuningOrder

    named = ("reward", "generator", "prompts", "eval_prompts", "eval_samples", "guards", "images", "teacher", "device")
    loading = ("gradient_checkpointing", "precision", "text_cache")
    order = TuningOrder(
        chosen(FinetuneConfig, settings),
        surrogate=settings.surrogate,
        method_settings=dict(text.split("=", 1) for text in settings.set_ or []),
        trackers=trackers,
        **{name: getattr(settings, name) for name in (*named, *loading)},
    )
    if settings.dry_run:
        plan_tuning(settings, out, order)
        return
    job = order.load(workers)
    with open_run(out, **settings.writing) as run:
        run.save_config(as_config(settings, **order.found(job)), job.generator.device)
        result = run_finetune(run, job, resume=settings.resume)
    result["report"] = str(write_report([out]))
    if settings.json:
        print_json(result)
    else:
        print_comparison(result)


def print_comparison(result: dict[str, Any]) -> None:
    """The before/after table."""
    rows = [(f"{result['reward_name']} (last step)", result["reward"])]
    rows += [(f"{result['reward_name']} (first step)", result["reward_one_step"])] if "reward_one_step" in result else []
    rows += [("exact match", result["exact"])] if "exact" in result else []
    rows += [(f"guard {guard['name']}", guard) for guard in result["guards"]]
    rows += [("diversity", result["diversity"])] if "diversity" in result else []
    cells = [
        (name, f"{part['before']:.3f}", f"{part['after']:.3f}", f"{part['ci95'][0]:+.3f} to {part['ci95'][1]:+.3f}")
        for name, part in rows
    ]
    print_table(("", "before", "after", "95 % interval of the gain"), cells)
    note(result["verdict"]["words"])
    note(
        f"{result['reward_calls']} reward calls, {result['minutes']:.1f} minutes; "
        + (f"adapter: {result['adapter']}" if "adapter" in result else f"pipeline: {result['pipeline']}")
    )
    note(f"report: {result['report']}")
