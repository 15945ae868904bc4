"""`lasro finetune`: flags to settings, settings to a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.items import captioned
from cli.output import note, print_json, print_table
from cli.run_folder import check_out, open_run
from cli.trackers import check_names
from reward_zoo.errors import MissingWeightsError, SpecError

if TYPE_CHECKING:
    from reward_zoo import Reward


def finetune(
    *,
    surrogate: Path | None,
    reward: str | None,
    generator: str | None,
    prompts: str | None,
    eval_prompts: str | None,
    eval_samples: int,
    guards: list[str] | None,
    trackers: list[str],
    images: Path | None,
    teacher: str | None,
    out: Path,
    settings: dict[str, Any],
    method_settings: list[str],
    loading: dict[str, Any],
    device: str,
    overwrite: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Check everything that can be checked, then run."""
    check_names(trackers)
    check_out(out, overwrite=overwrite, resume=resume)

    import reward_zoo
    from cli.tuning import TuningJob, critic_of, real_pictures, run_finetune
    from finetune.config import FinetuneConfig
    from finetune.generators.pipeline import load_generator
    from finetune.generators.preset import find_preset
    from finetune.methods import load_method
    from finetune.prompts import load_prompts, prompts_of
    from reward_zoo.briefing import briefed, facts_of
    from surrogate.folder import check_latent_space, load_surrogate

    config = FinetuneConfig(**settings)
    method = load_method(config.method, _named(method_settings))
    if method[0].needs_surrogate and surrogate is None:
        raise SpecError(f"--method {config.method}: climbs a surrogate; give --surrogate, the folder that lasro distill wrote")
    if surrogate is None and reward is None:
        raise SpecError(f"--method {config.method}: give --reward SPEC")
    saved = load_surrogate(surrogate) if surrogate else None
    reward = reward or saved.config["reward"]
    generator = generator or (saved.config["generator"] if saved else "tiny-signs")
    preset = find_preset(generator)
    training = load_prompts(prompts) if prompts else prompts_of(preset, "prompts", "--prompts")
    testing = load_prompts(eval_prompts) if eval_prompts else prompts_of(preset, "eval_prompts", "--eval-prompts")
    scorer, watched = reward_zoo.load(reward), load_guards(guards, reward)
    facts, asked = facts_of(prompts, eval_prompts), [*training, *testing]
    scorer, watched = briefed(scorer, facts, asked), {name: briefed(guard, facts, asked) for name, guard in watched.items()}
    loaded = load_generator(generator, device, **loading)
    if saved:
        check_latent_space(saved.surrogate, loaded)
    pairs = captioned(images) if images else []
    with open_run(out, overwrite=overwrite, resume=resume) as run:
        given = {"surrogate": str(surrogate) if surrogate else None, "reward": reward, "generator": generator}
        run.save_config({**given, "guards": list(watched), **config.as_dict(), "method_settings": vars(method[1])})
        job = TuningJob(
            generator=loaded,
            reward=scorer,
            reward_spec=reward,
            prompts=training,
            test=testing[:eval_samples],
            config=config,
            method=method,
            critic=critic_of(saved, scorer, config.seed) if saved and method[0].needs_surrogate else None,
            pictures=real_pictures(loaded, pairs, load_generator(teacher, device, **loading) if teacher else None)
            if pairs
            else None,
            guards=watched,
            trackers=trackers,
        )
        result = run_finetune(run, job, resume=resume)
    if as_json:
        print_json(result)
    else:
        print_comparison(result)


def load_guards(specs: list[str] | None, reward: str) -> dict[str, Reward]:
    """The guards asked for; without any, `artifact_guard` and a second opinion that this machine has."""
    import reward_zoo

    if specs:
        return {spec: reward_zoo.load(spec) for spec in specs}
    second = "ocr:engine=easyocr" if reward.split(":")[0] == "ocr" and "easyocr" not in reward else "sharpness"
    found = {"artifact_guard": reward_zoo.load("artifact_guard")}
    try:
        found[second] = reward_zoo.load(second)
    except MissingWeightsError as error:
        note(f"no guard {second}: {error}")
    return found


def _named(settings: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary."""
    wrong = next((text for text in settings if "=" not in text), None)
    if wrong is not None:
        raise SpecError(f"--set {wrong}: write NAME=VALUE")
    return dict(text.split("=", 1) for text in settings)


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
    note(f"pictures: {result['samples']}")
