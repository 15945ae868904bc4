"""`lasro label` and `lasro distill`: flags to settings, settings to a run."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cli.items import captioned
from cli.output import note, print_json
from cli.run_folder import Bystander, check_out, open_run
from cli.settings import as_config, chosen
from reward_zoo.briefing import briefed, facts_of, save_facts
from reward_zoo.errors import SpecError
from surrogate.config import DistillConfig

if TYPE_CHECKING:
    from cli.surrogate_app import DistillSettings, LabelSettings
    from surrogate.store import LabelledStore


def label(settings: LabelSettings) -> None:
    """Collect labels without training on them."""
    reward, generator = settings.reward, settings.generator
    if reward is None:
        raise SpecError("label: give --reward SPEC, as --reward ocr")
    out = settings.out or _default_out(reward, "-labels")
    check_out(out, overwrite=settings.overwrite, resume=settings.resume)

    import reward_zoo
    from cli.wiring import run_label
    from finetune.generators.pipeline import load_generator
    from surrogate.store import PROMPT_TABLE

    config = distill_config(settings, generator)
    texts, pictures = _prompts(settings.prompts, generator), captioned(settings.images) if settings.images else []
    facts = facts_of(settings.prompts)
    scorer = briefed(reward_zoo.load(reward), facts, [*texts, *(prompt for _, prompt in pictures)])
    loaded = load_generator(generator, settings.device)
    with open_run(out, overwrite=settings.overwrite, resume=settings.resume) as run:
        run.save_config(as_config(settings, extra_steps=config.extra_steps))
        save_facts(run.path / "labels" / PROMPT_TABLE, facts)
        store, calls = run_label(run.path / "labels", loaded, scorer, reward, texts, config, pictures)
        result = {"store": str(store.folder), "labels": len(store), "reward_calls": calls, "run": str(out)}
        run.save_summary(result)
    if settings.json:
        print_json(result)
    else:
        note(f"{result['labels']} labels, {calls} reward calls; next: lasro distill --data {out}")


def distill(settings: DistillSettings) -> None:
    """Check everything that can be checked, then run."""
    reward, data, out = "+".join(settings.reward or []) or None, settings.data or [], settings.out
    if reward is None and not data:
        raise SpecError("distill: give --reward SPEC, or --data of a store that has labels")
    if data and (settings.prompts or settings.images):
        flag = "prompts" if settings.prompts else "images"
        raise SpecError(f"--{flag} and --data exclude each other: stores hold their {flag}; lasro label takes --{flag}")
    writing = {"overwrite": settings.overwrite, "resume": settings.resume}
    leads = int(os.environ.get("RANK", "0")) == 0  # of the processes that accelerate launched
    if leads and (out is not None or reward is not None):  # else the store names the reward
        out = out or _default_out(reward)
        check_out(out, **writing)

    import reward_zoo
    from cli.wiring import run_distill, run_training
    from finetune.generators.pipeline import load_generator
    from surrogate.folder import check_labels
    from surrogate.store import PROMPT_TABLE
    from surrogate.team import Team

    stores = [_open(path) for path in data]
    reward = reward or stores[0].meta["reward"]
    generator = settings.generator or (stores[0].meta["generator"] if stores else "tiny-signs")
    out = out or _default_out(reward)
    config = distill_config(settings, generator)
    texts = [] if stores else _prompts(settings.prompts, generator)
    pictures = captioned(settings.images) if settings.images else []
    facts = facts_of(settings.prompts, *(store.prompt_table for store in stores))
    asked = [*texts, *(prompt for _, prompt in pictures), *(prompt for store in stores for prompt in store.prompts())]
    scorer, loaded = briefed(reward_zoo.load(reward), facts, asked), load_generator(generator, settings.device)
    for store in stores:
        check_labels(store, loaded)
    team = Team.gather(sharded=settings.shard)
    with open_run(out, **writing) if team.leads else nullcontext(Bystander(out)) as run:
        found = {"reward": settings.reward or [reward], "generator": generator, "extra_steps": config.extra_steps}
        run.save_config(as_config(settings, **found))
        if stores:
            result = run_training(run, loaded, scorer, reward, stores, config, team)
        else:
            if team.leads:
                save_facts(run.path / "labels" / PROMPT_TABLE, facts)
            result = run_distill(run, loaded, scorer, reward, texts, config, pictures, team)
    if not team.leads:
        return
    if settings.json:
        print_json(result)
        return
    pairwise = result["pairwise"]
    note(
        f"held-out pairwise accuracy {pairwise['accuracy']:.3f} (noise ceiling {pairwise['ceiling']:.3f}), "
        f"Spearman {result['spearman']:.3f}, {result['reward_calls']} reward calls, {result['minutes']:.1f} minutes"
    )
    note(f"next: lasro finetune --surrogate {result['surrogate']}")


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


def _open(path: Path) -> LabelledStore:
    """The store in a run's folder, or the folder itself."""
    from surrogate.store import LabelledStore

    return LabelledStore.open(path / "labels" if (path / "labels" / "meta.json").is_file() else path)
