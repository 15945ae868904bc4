"""`lasro finetune`: flags to settings, settings to a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.commands.plan import plan_tuning
from cli.items import captioned
from cli.output import note, print_json, print_table
from cli.report.page import write_report
from cli.run_folder import check_out, open_run
from cli.settings import as_config, chosen
from cli.trackers import check_names
from finetune.config import FinetuneConfig
from reward_zoo.errors import MissingWeightsError, SpecError

if TYPE_CHECKING:
    from cli.tuning_app import FinetuneSettings
    from reward_zoo import Reward
    from reward_zoo.workers import RewardWorkers


def finetune(settings: FinetuneSettings, workers: RewardWorkers | None = None) -> None:
    """Check everything that can be checked, then run."""
    out, trackers, surrogate = settings.out or Path("runs/tuned"), settings.trackers or ["tensorboard"], settings.surrogate
    check_names(trackers)
    check_out(out, overwrite=settings.overwrite, resume=settings.resume)

    from cli.tuning import TuningJob, critic_of, real_pictures, run_finetune
    from finetune.generators.pipeline import load_generator
    from finetune.generators.preset import find_preset
    from finetune.methods import load_method
    from finetune.prompts import load_prompts, prompts_of
    from reward_zoo.briefing import briefed, facts_of
    from reward_zoo.workers import in_workers
    from surrogate.folder import check_latent_space, load_surrogate

    config = chosen(FinetuneConfig, settings)
    method = load_method(config.method, dict(text.split("=", 1) for text in settings.set_ or []))
    if method[0].needs_surrogate and surrogate is None:
        raise SpecError(f"--method {config.method}: climbs a surrogate; give --surrogate, the folder that lasro distill wrote")
    if surrogate is None and settings.reward is None:
        raise SpecError(f"--method {config.method}: give --reward SPEC")
    saved = load_surrogate(surrogate) if surrogate else None
    reward = settings.reward or saved.config["reward"]
    generator = settings.generator or (saved.config["generator"] if saved else "tiny-signs")
    preset = find_preset(generator)
    training = load_prompts(settings.prompts) if settings.prompts else prompts_of(preset, "prompts", "--prompts")
    testing = (
        load_prompts(settings.eval_prompts) if settings.eval_prompts else prompts_of(preset, "eval_prompts", "--eval-prompts")
    )
    facts, asked = facts_of(settings.prompts, settings.eval_prompts), [*training, *testing]
    loading = {name: getattr(settings, name) for name in ("gradient_checkpointing", "precision", "text_cache")}

    workers = None if settings.dry_run else workers  # a plan asks in this process

    def load() -> TuningJob:
        scorer, guards = in_workers(reward, workers), load_guards(settings.guards, reward, workers)
        scorer, guards = briefed(scorer, facts, asked), {name: briefed(guard, facts, asked) for name, guard in guards.items()}
        loaded = load_generator(generator, settings.device, **loading)
        if saved:
            check_latent_space(saved.surrogate, loaded)
        pairs = captioned(settings.images) if settings.images else []
        teacher = load_generator(settings.teacher, settings.device, **loading) if settings.teacher else None
        return TuningJob(
            generator=loaded,
            reward=scorer,
            reward_spec=reward,
            prompts=training,
            test=testing[: settings.eval_samples],
            config=config,
            method=method,
            critic=critic_of(saved, scorer, config.seed) if saved and method[0].needs_surrogate else None,
            pictures=real_pictures(loaded, pairs, teacher) if pairs else None,
            guards=guards,
            trackers=trackers,
        )

    if settings.dry_run:
        plan_tuning(settings, out, [reward, *(settings.guards or [])], generator, load)
        return
    job = load()
    with open_run(out, overwrite=settings.overwrite, resume=settings.resume) as run:
        found = {"reward": reward, "generator": generator, "guards": list(job.guards), "method_settings": vars(method[1])}
        run.save_config(as_config(settings, **found), job.generator.device)
        result = run_finetune(run, job, resume=settings.resume)
    result["report"] = str(write_report([out]))
    if settings.json:
        print_json(result)
    else:
        print_comparison(result)


def load_guards(specs: list[str] | None, reward: str, workers: RewardWorkers | None = None) -> dict[str, Reward]:
    """The guards asked for; without any, `artifact_guard` and a second opinion that this machine has."""
    from reward_zoo.workers import in_workers

    if specs:
        return {spec: in_workers(spec, workers) for spec in specs}
    second = "ocr:engine=easyocr" if reward.split(":")[0] == "ocr" and "easyocr" not in reward else "sharpness"
    found = {"artifact_guard": in_workers("artifact_guard", None)}
    try:
        found[second] = in_workers(second, workers)
    except MissingWeightsError as error:
        note(f"no guard {second}: {error}")
    return found


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
