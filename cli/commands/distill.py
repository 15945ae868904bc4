"""`lasro label` and `lasro distill`: flags to settings, settings to a run."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.commands.plan import plan_labels
from cli.output import print_json
from cli.report.page import write_report
from cli.settings import as_config, chosen
from finetune.config import Rounds
from reward_zoo.briefing import Facts, briefed, facts_of, save_facts
from reward_zoo.errors import SpecError, did_you_mean
from reward_zoo.items import captioned
from reward_zoo.loading import absolute_spec
from reward_zoo.terminal import note
from surrogate.config import DistillConfig
from surrogate.errors import EngineError
from surrogate.runs.folder import Bystander, RunFolder, check_out, open_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import reward_zoo
    from cli.surrogate_app import DistillSettings, LabelAloneSettings, LabelSettings
    from finetune.generators.pipeline import SDXLGenerator
    from reward_zoo.workers import RewardWorkers
    from surrogate.labels import OnCluster

ENGINES = ("local", "accelerate", "ray")


def label(settings: LabelAloneSettings, workers: RewardWorkers | None = None) -> None:
    """Collect labels without training on them."""
    reward, generator, engine = settings.reward, settings.generator, settings.engine
    if reward is None:
        raise SpecError("label: give --reward SPEC, as --reward ocr")
    check_engine(engine, workers)
    out, writing = settings.out or _default_out(reward, "-labels"), settings.writing
    if _leads():
        check_out(out, **writing)

    from reward_zoo.workers import in_workers
    from surrogate.labels import run_label
    from surrogate.team import Team

    config = distill_config(settings, generator)
    texts, pictures = _prompts(settings.prompts, generator), captioned(settings.images) if settings.images else []
    facts = facts_of(settings.prompts)
    asked = [*texts, *(prompt for _, prompt in pictures)]

    workers = None if settings.dry_run else workers  # a plan asks in this process

    def load() -> tuple[reward_zoo.Reward, SDXLGenerator]:
        return briefed(in_workers(reward, workers), facts, asked), _painter(generator, settings.device, settings.adapter)

    if settings.dry_run:
        plan_labels(settings, out, reward, generator, config, texts, [prompt for _, prompt in pictures], load)
        return
    (scorer, loaded), team = load(), Team.gather()
    on_cluster = _on_ray(settings, facts, config) if engine == "ray" else None
    with open_run(out, **writing) if team.leads else nullcontext(Bystander(out)) as run:
        run.save_config(as_config(settings, extra_steps=config.extra_steps), loaded.device)
        if team.leads:
            _save_facts(run, facts)
        given = {"adapter": settings.adapter, "team": team, "on_cluster": on_cluster, "heed": run.heed}
        store, calls = run_label(run.path / "labels", loaded, scorer, reward, texts, config, pictures, **given)
        result = {"store": str(store.folder), "labels": len(store), "reward_calls": calls, "run": str(out)}
        run.save_summary(result)
    if not team.leads:
        return
    if settings.json:
        print_json(result)
    else:
        note(f"{result['labels']} labels, {calls} reward calls; next: lasro distill --data {out}")


def _save_facts(run: RunFolder, facts: Facts) -> None:
    from surrogate.store import PROMPT_TABLE

    save_facts(run.path / "labels" / PROMPT_TABLE, facts)


def check_engine(engine: str, workers: RewardWorkers | None) -> None:
    """See that the engine is one, and that this process was started for it.

    Raises:
        SpecError: it is none.
        EngineError: it lacks its processes or its package.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if engine not in ENGINES:
        raise SpecError(f"--engine {engine}: no such engine; {did_you_mean(engine, ENGINES)}")
    if engine == "accelerate" and launched == 1:
        raise EngineError(
            "--engine accelerate: this is one process alone; start several: "
            "accelerate launch --num_processes 2 -m cli label --engine accelerate …"
        )
    if engine != "accelerate" and launched > 1:
        raise EngineError(f"--engine {engine}: {launched} processes were launched together; give --engine accelerate")
    if engine == "ray":
        from surrogate.ray_labelling import check_ray

        check_ray()
        if workers:
            raise EngineError(f"--reward-workers {workers.count}: goes with --engine local or accelerate; Ray has its own")


def _on_ray(settings: LabelAloneSettings, facts: Facts, config: DistillConfig) -> OnCluster:
    """Label on Ray's workers, which load generator and reward by the names given here; files by their whole paths."""
    from surrogate.ray_labelling import label_on_ray

    path = Path(settings.generator)
    name = str(path.resolve()) if path.exists() else settings.generator
    adapter = settings.adapter.resolve() if settings.adapter else None
    load = partial(load_labeller, name, settings.device, absolute_spec(settings.reward), facts, adapter)
    how = {"extra_steps": config.extra_steps, "device": settings.device}
    return lambda batches, store, progress: label_on_ray(load, batches, store, **how, progress=progress)


def load_labeller(
    generator: str, device: str, reward: str, facts: Facts, adapter: Path | None
) -> tuple[SDXLGenerator, reward_zoo.Reward]:
    """What a worker on another machine needs, by name."""
    import reward_zoo

    return _painter(generator, device, adapter), briefed(reward_zoo.load(reward), facts)


def _painter(generator: str, device: str, adapter: Path | None) -> SDXLGenerator:
    """The generator, tuned if there is an adapter."""
    from finetune.generators.pipeline import load_generator
    from finetune.lora import load_lora

    loaded = load_generator(generator, device)
    if adapter:
        load_lora(loaded.pipeline, adapter)
    return loaded


def distill(settings: DistillSettings, workers: RewardWorkers | None = None) -> None:
    """Check everything that can be checked, then run."""
    reward, data, out = "+".join(settings.reward or []) or None, settings.data or [], settings.out
    if reward is None and not data:
        raise SpecError("distill: give --reward SPEC, or --data of a store that has labels")
    if data and (settings.prompts or settings.images):
        flag = "prompts" if settings.prompts else "images"
        raise SpecError(f"--{flag} and --data exclude each other: stores hold their {flag}; lasro label takes --{flag}")
    rounds, writing = _rounds(settings, data), settings.writing
    if _leads() and (out is not None or reward is not None):  # else the store names the reward
        out = out or _default_out(reward)
        check_out(out, **writing)

    from finetune.generators.pipeline import load_generator
    from finetune.rounds import distill_in_rounds
    from reward_zoo.workers import in_workers
    from surrogate.folder import check_labels
    from surrogate.jobs import run_distill, run_training
    from surrogate.labels import open_store
    from surrogate.team import Team

    stores = [open_store(path) for path in data]
    reward = reward or stores[0].meta["reward"]
    generator = settings.generator or (stores[0].meta["generator"] if stores else "tiny-signs")
    out = out or _default_out(reward)
    config = distill_config(settings, generator)
    texts = [] if stores else _prompts(settings.prompts, generator)
    pictures = captioned(settings.images) if settings.images else []
    facts = facts_of(settings.prompts, *(store.prompt_table for store in stores))
    asked = [*texts, *(prompt for _, prompt in pictures), *(prompt for store in stores for prompt in store.prompts())]

    workers = None if settings.dry_run else workers  # a plan asks in this process

    def load() -> tuple[reward_zoo.Reward, SDXLGenerator]:
        return briefed(in_workers(reward, workers), facts, asked), load_generator(generator, settings.device)

    if settings.dry_run:
        known = (reward, generator, config, texts, [prompt for _, prompt in pictures])
        plan_labels(settings, out, *known, load, stores=stores, trains=True, rounds=rounds)
        return
    scorer, loaded = load()
    for store in stores:
        check_labels(store, loaded)
    team = Team.gather(sharded=settings.shard)
    with open_run(out, **writing) if team.leads else nullcontext(Bystander(out)) as run:
        found = {"reward": settings.reward or [reward], "generator": generator, "extra_steps": config.extra_steps}
        run.save_config(as_config(settings, **found), loaded.device)
        if not stores and team.leads:
            _save_facts(run, facts)
        work = (run, loaded, scorer, reward)
        if stores:
            result = run_training(*work, stores, config, team)
        elif rounds.rounds > 1:
            result = distill_in_rounds(*work, texts, config, pictures, rounds=rounds)
        else:
            result = run_distill(*work, texts, config, pictures, team)
    if team.leads:
        result["report"] = str(write_report([out]))
        print_json(result) if settings.json else _print(result)


def _print(result: dict[str, Any]) -> None:
    pairwise = result["pairwise"]
    note(
        f"held-out pairwise accuracy {pairwise['accuracy']:.3f} (noise ceiling {pairwise['ceiling']:.3f}), "
        f"Spearman {result['spearman']:.3f}, {result['reward_calls']} reward calls, {result['minutes']:.1f} minutes"
    )
    note(f"report: {result['report']}; next: lasro finetune --surrogate {result['surrogate']}")


def _rounds(settings: DistillSettings, data: Sequence[Path]) -> Rounds:
    rounds = chosen(Rounds, settings)
    if rounds.rounds > 1 and (data or int(os.environ.get("WORLD_SIZE", "1")) > 1):
        why = "stores are labelled already" if data else "one process labels them, and several were launched"
        raise SpecError(f"--rounds {rounds.rounds}: {why}; leave it out")
    return rounds


def _leads() -> bool:
    """Of the processes that accelerate launched."""
    return int(os.environ.get("RANK", "0")) == 0


def _default_out(reward: str, ending: str = "") -> Path:
    return Path("runs") / (re.sub(r"\W+", "-", Path(reward).name).strip("-") + ending)


def distill_config(settings: LabelSettings, generator: str) -> DistillConfig:
    """The settings below, with the generator's steps, and its preset's extra ones unless the flag gives others."""
    from finetune.generators.preset import find_preset

    preset, extra = find_preset(generator), settings.extra_steps
    if extra is None:
        extra = preset.extra_steps if preset else 0
    return chosen(DistillConfig, settings, extra_steps=extra, generator_steps=preset.num_steps if preset else 2)


def _prompts(prompts: str | None, generator: str) -> list[str]:
    from finetune.generators.preset import find_preset
    from finetune.prompts import load_prompts, prompts_of

    return load_prompts(prompts) if prompts else prompts_of(find_preset(generator), "prompts", "--prompts")
