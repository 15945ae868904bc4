"""`lasro distill`: flags to settings, settings to a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cli.output import note, print_json
from cli.run_folder import check_out, open_run
from reward_zoo.errors import SpecError


def distill(
    *,
    reward: str,
    generator: str,
    prompts: str | None,
    out: Path | None,
    settings: dict[str, Any],
    overwrite: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Check everything that can be checked, then run."""
    out = out or Path("runs") / re.sub(r"\W+", "-", Path(reward).name).strip("-")
    check_out(out, overwrite=overwrite, resume=resume)
    if settings["depth"] not in ("full", "encoder"):
        raise SpecError(f"--depth {settings['depth']}: must be full or encoder")

    import reward_zoo
    from cli.wiring import run_distill
    from finetune.generators.pipeline import load_generator
    from finetune.generators.preset import presets
    from finetune.prompts import load_prompts, prompts_of
    from surrogate.config import DistillConfig

    preset = presets().get(generator)
    if settings["extra_steps"] is None:
        settings["extra_steps"] = preset.extra_steps if preset else 0
    config = DistillConfig(**settings)
    texts = load_prompts(prompts) if prompts else prompts_of(preset, "prompts", "--prompts")
    scorer = reward_zoo.load(reward)
    loaded = load_generator(generator)
    with open_run(out, overwrite=overwrite, resume=resume) as run:
        run.save_config({"reward": reward, "generator": generator, "prompts": prompts or preset.prompts, **config.as_dict()})
        result = run_distill(run, loaded, scorer, reward, texts, config)
    if as_json:
        print_json(result)
        return
    pairwise = result["pairwise"]
    note(
        f"held-out pairwise accuracy {pairwise['accuracy']:.3f} (noise ceiling {pairwise['ceiling']:.3f}), "
        f"Spearman {result['spearman']:.3f}, {result['reward_calls']} reward calls, {result['minutes']:.1f} minutes"
    )
    note(f"next: lasro finetune --surrogate {result['surrogate']}")
