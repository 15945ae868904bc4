"""`lasro finetune`: flags to settings, settings to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.output import note, print_json, print_table
from cli.run_folder import check_out, open_run


def finetune(
    *,
    surrogate: Path,
    generator: str | None,
    prompts: str | None,
    eval_prompts: str | None,
    eval_samples: int,
    guards: list[str],
    out: Path,
    settings: dict[str, Any],
    device: str,
    overwrite: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Check everything that can be checked, then run."""
    check_out(out, overwrite=overwrite, resume=resume)

    import reward_zoo
    from cli.wiring import run_finetune
    from finetune.config import FinetuneConfig
    from finetune.generators.pipeline import load_generator
    from finetune.generators.preset import presets
    from finetune.prompts import load_prompts, prompts_of
    from surrogate.folder import check_latent_space, load_surrogate

    config = FinetuneConfig(**settings)
    saved = load_surrogate(surrogate)
    generator = generator or saved.config["generator"]
    preset = presets().get(generator)
    training = load_prompts(prompts) if prompts else prompts_of(preset, "prompts", "--prompts")
    testing = load_prompts(eval_prompts) if eval_prompts else prompts_of(preset, "eval_prompts", "--eval-prompts")
    scorer = reward_zoo.load(saved.config["reward"])
    watched = {spec: reward_zoo.load(spec) for spec in guards}
    loaded = load_generator(generator, device)
    check_latent_space(saved.surrogate, loaded)
    with open_run(out, overwrite=overwrite, resume=resume) as run:
        run.save_config({"surrogate": str(surrogate), "generator": generator, "guards": guards, **config.as_dict()})
        result = run_finetune(
            run, loaded, saved, scorer, training, testing[:eval_samples], config, guards=watched, resume=resume
        )
    if as_json:
        print_json(result)
    else:
        print_comparison(result)


def print_comparison(result: dict[str, Any]) -> None:
    """The before/after table."""
    rows = [(f"{result['reward_name']} (two steps)", result["reward"])]
    rows += [(f"{result['reward_name']} (one step)", result["reward_one_step"])] if "reward_one_step" in result else []
    rows += [("exact match", result["exact"])] if "exact" in result else []
    rows += [(f"guard {guard['name']}", guard) for guard in result["guards"]]
    cells = [
        (name, f"{part['before']:.3f}", f"{part['after']:.3f}", f"{part['ci95'][0]:+.3f} to {part['ci95'][1]:+.3f}")
        for name, part in rows
    ]
    print_table(("", "before", "after", "95 % interval of the gain"), cells)
    note(f"{result['reward_calls']} reward calls, {result['minutes']:.1f} minutes; adapter: {result['adapter']}")
    note(f"pictures: {result['samples']}")
