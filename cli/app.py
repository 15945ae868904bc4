"""`lasro`: the commands, their flags and help. Work is imported when a command runs, so help is quick."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import run_guarded
from finetune.config import FinetuneConfig
from surrogate.config import LOSS_NAMES, DistillConfig

app = typer.Typer(
    name="lasro",
    help="Image rewards, latent surrogates distilled from them, and two-step SDXL generators tuned on them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
rewards_app = typer.Typer(help="List, explain and use rewards.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(rewards_app, name="rewards")
cache_app = typer.Typer(help="Scores kept on disk.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(cache_app, name="cache")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Out = Annotated[Path, typer.Option(help="Run folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what stands at --out first.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run at --out.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
GeneratorName = Annotated[str, typer.Option(help="Preset, pipeline folder or hub id.")]
Prompts = Annotated[str | None, typer.Option(help="Prompt set, text file of a prompt a line, or table with a column prompt.")]
Pictures = Annotated[
    list[Path], typer.Argument(help="Pictures, folders, globs, or tables (.csv, .jsonl, .parquet) with a column image.")
]
PicturePrompt = Annotated[list[str] | None, typer.Option(help="One prompt for all, or one a picture.")]
BatchSize = Annotated[int, typer.Option(help="Pictures of one size scored at once.")]
Samples = Annotated[int, typer.Option(help="Reward calls to spend on labels.")]
Noises = Annotated[int, typer.Option(help="Initial noises a prompt.")]
ExtraSteps = Annotated[
    int | None, typer.Option(help="Also label samples of so many network calls; 0 is none.  [default: the preset's]")
]
Guard = Annotated[list[str] | None, typer.Option(help="Reward never trained on, to watch; repeatable.")]


@app.command(epilog="Example: lasro quickstart --out runs/quickstart --json")
def quickstart(
    out: Out = Path("runs/quickstart"),
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(help="Reward calls to spend on labels.")] = 4500,
    steps: Annotated[int, typer.Option(help="Generator steps.")] = 80,
    eval_samples: Annotated[int, typer.Option(help="Held-out images to compare.")] = 256,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """The whole story on the embedded generator: distil ocr, tune, compare. Minutes on two CPU cores."""
    from cli.commands.quickstart import quickstart as run

    sizes = {"samples": samples, "steps": steps, "eval_samples": eval_samples}
    run(out=out, seed=seed, **sizes, overwrite=overwrite, as_json=json)


@app.command(epilog="Example: lasro label --reward ocr --samples 9600 --out runs/ocr-labels")
def label(
    reward: Annotated[str, typer.Option(help="Reward spec.")],
    out: Annotated[Path, typer.Option(help="Run folder; the store is its folder labels.")],
    generator: GeneratorName = "tiny-signs",
    prompts: Prompts = None,
    samples: Samples = DistillConfig.samples,
    noises: Noises = DistillConfig.noises,
    extra_steps: ExtraSteps = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Collect labels of generated images, to train on later."""
    from cli.commands.distill import label as run

    run(
        reward=reward,
        generator=generator,
        prompts=prompts,
        out=out,
        settings={"samples": samples, "noises": noises, "extra_steps": extra_steps, "seed": seed},
        overwrite=overwrite,
        resume=resume,
        as_json=json,
    )


@app.command(epilog="Example: lasro distill --reward ocr --samples 9600 --out runs/ocr")
def distill(
    reward: Annotated[
        str | None, typer.Option(help="Reward spec: ocr, ocr:mode=exact, my/file.py:function …  [default: that of --data]")
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Preset, pipeline folder or hub id.  [default: that of --data, else tiny-signs]")
    ] = None,
    prompts: Prompts = None,
    data: Annotated[list[Path] | None, typer.Option(help="Train on labels that are there; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.  [default: runs/REWARD]")] = None,
    samples: Samples = DistillConfig.samples,
    noises: Noises = DistillConfig.noises,
    depth: Annotated[str, typer.Option(help="How much of the UNet to keep: full or encoder.")] = DistillConfig.depth,
    steps: Annotated[
        int, typer.Option(help="Most training steps; stops earlier when held-out accuracy falls.")
    ] = DistillConfig.steps,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = DistillConfig.learning_rate,
    loss: Annotated[
        list[str] | None, typer.Option(help=f"Repeatable, summed: {', '.join(LOSS_NAMES)}.  [default: the first and the last]")
    ] = None,
    extra_steps: ExtraSteps = None,
    hindsight: Annotated[
        float, typer.Option(help="Share of pictures also shown under another prompt, if the reward perceives; 0 is off.")
    ] = DistillConfig.hindsight,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Distil a reward into a differentiable latent surrogate."""
    from cli.commands.distill import distill as run

    settings = {"samples": samples, "noises": noises, "depth": depth, "steps": steps, "learning_rate": learning_rate}
    settings |= {"losses": tuple(loss)} if loss else {}
    run(
        reward=reward,
        generator=generator,
        prompts=prompts,
        data=data or [],
        out=out,
        settings={**settings, "extra_steps": extra_steps, "hindsight": hindsight, "seed": seed},
        overwrite=overwrite,
        resume=resume,
        as_json=json,
    )


@app.command(epilog="Example: lasro finetune --surrogate runs/ocr/surrogate --guard ocr:engine=easyocr --out runs/ocr-tuned")
def finetune(
    surrogate: Annotated[Path, typer.Option(help="Surrogate folder that lasro distill wrote.")],
    generator: Annotated[str | None, typer.Option(help="Preset, folder or hub id.  [default: the surrogate's]")] = None,
    prompts: Prompts = None,
    eval_prompts: Annotated[str | None, typer.Option(help="Held-out prompts for before and after.")] = None,
    eval_samples: Annotated[int, typer.Option(help="Held-out images to compare.")] = 256,
    guard: Guard = None,
    out: Out = Path("runs/tuned"),
    steps: Annotated[int, typer.Option(help="Generator steps.")] = FinetuneConfig.steps,
    batch_size: Annotated[int, typer.Option(help="Prompts a generator step.")] = FinetuneConfig.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of the LoRA.")] = FinetuneConfig.learning_rate,
    lora_rank: Annotated[int, typer.Option(help="Rank of the LoRA.")] = FinetuneConfig.lora_rank,
    anchor_band_max: Annotated[
        float, typer.Option(help="How far from the frozen generator a trusted surrogate may lead; a share of x0's variance.")
    ] = FinetuneConfig.anchor_band_max,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Tune a two-step generator on a surrogate, with the true reward watching; writes a LoRA."""
    from cli.commands.finetune import finetune as run

    settings = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "lora_rank": lora_rank}
    run(
        surrogate=surrogate,
        generator=generator,
        prompts=prompts,
        eval_prompts=eval_prompts,
        eval_samples=eval_samples,
        guards=guard or [],
        out=out,
        settings={**settings, "anchor_band_max": anchor_band_max, "seed": seed},
        overwrite=overwrite,
        resume=resume,
        as_json=json,
    )


@app.command(epilog="Example: lasro evaluate --surrogate runs/ocr/surrogate --json")
def evaluate(
    surrogate: Annotated[Path, typer.Option(help="Surrogate folder that lasro distill wrote.")],
    generator: Annotated[str | None, typer.Option(help="Preset, folder or hub id.  [default: the surrogate's]")] = None,
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder: evaluate on samples of the tuned generator.")] = None,
    prompts: Annotated[str | None, typer.Option(help="Held-out prompts.  [default: the generator's own]")] = None,
    max_prompts: Annotated[int, typer.Option(help="Prompts to use of them.")] = 96,
    noises: Annotated[int, typer.Option(help="Initial noises a prompt.")] = 4,
    gradient_samples: Annotated[int, typer.Option(help="Latents that take a step along the gradient.")] = 128,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Can a surrogate be trusted? Its order, calibration and gradient against the true reward, on held-out prompts."""
    from cli.commands.evaluate import evaluate as run

    run(
        surrogate=surrogate,
        generator=generator,
        adapter=adapter,
        prompts=prompts,
        max_prompts=max_prompts,
        noises=noises,
        gradient_samples=gradient_samples,
        seed=seed,
        as_json=json,
    )


@app.command(epilog="Example: lasro generate --prompt 'a red sign that says \"OPEN\" in white' --out open.png")
def generate(
    prompt: Annotated[list[str], typer.Option(help="What to paint; repeatable.")],
    out: Annotated[Path, typer.Option(help="PNG file; several pictures become a grid.")],
    generator: GeneratorName = "tiny-signs",
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder that lasro finetune wrote.")] = None,
    num_inference_steps: Annotated[int, typer.Option(help="Network calls an image.")] = 2,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; repeatable, one picture each.  [default: 0]")] = None,
    surrogate: Annotated[Path | None, typer.Option(help="Surrogate folder, for the two options below.")] = None,
    best_of: Annotated[int, typer.Option(help="Keep the best of so many noises, by the surrogate.")] = 1,
    optimize_noise: Annotated[int, typer.Option(help="Climb the surrogate in the noise by so many steps.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file at --out.")] = False,
) -> None:
    """Generate pictures, with or without an adapter."""
    from cli.commands.generate import generate as run

    run(
        prompts=prompt,
        out=out,
        generator=generator,
        adapter=adapter,
        num_inference_steps=num_inference_steps,
        seeds=seed or [0],
        surrogate=surrogate,
        best_of=best_of,
        optimize_noise=optimize_noise,
        overwrite=overwrite,
    )


@app.command(epilog="Example: lasro doctor --json")
def doctor(json: Json = False) -> None:
    """Which rewards run on this machine, and what the others lack."""
    from cli.commands.rewards import doctor_command

    doctor_command(as_json=json)


@rewards_app.command("list", epilog="Example: lasro rewards list --differentiable --license permissive --json")
def rewards_list(
    differentiable: Annotated[bool, typer.Option("--differentiable", help="Only those with a gradient.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Only those that never fetch a file.")] = False,
    needs_prompt: Annotated[bool, typer.Option("--needs-prompt", help="Only those that read the prompt.")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only those that run on this machine now.")] = False,
    license_kind: Annotated[
        str | None, typer.Option("--license", help="permissive: no copyleft, no non-commercial part.")
    ] = None,
    json: Json = False,
) -> None:
    """All registered rewards."""
    from cli.commands.rewards import list_command

    filters = {"differentiable": differentiable, "offline": offline, "needs_prompt": needs_prompt, "ready": ready}
    list_command(filters=filters, license_kind=license_kind, as_json=json)


@rewards_app.command("info", epilog="Example: lasro rewards info ocr")
def rewards_info(name: Annotated[str, typer.Argument(help="A reward's name.")], json: Json = False) -> None:
    """A reward's card."""
    from cli.commands.rewards import info_command

    info_command(name, as_json=json)


@rewards_app.command("score", epilog="Example: lasro rewards score pictures/ --reward ocr --reward aesthetic --out scores.csv")
def rewards_score(
    images: Pictures,
    reward: Annotated[list[str], typer.Option(help="Reward spec; repeatable.")],
    prompt: PicturePrompt = None,
    target: Annotated[list[str] | None, typer.Option(help="One target for all, or one a picture.")] = None,
    reference: Annotated[list[Path] | None, typer.Option(help="One picture to compare with for all, or one each.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a table: .csv, .jsonl or .parquet.")] = None,
    batch_size: BatchSize = 16,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Remember scores, see lasro cache.")] = True,
    json: Json = False,
) -> int:
    """Score pictures; exit code 1 if some could not be scored."""
    from cli.commands.scoring import score_command

    return score_command(
        images,
        rewards=reward,
        prompts=prompt,
        targets=target,
        references=reference,
        out=out,
        batch_size=batch_size,
        use_cache=cache,
        as_json=json,
    )


@rewards_app.command("calibrate", epilog="Example: lasro rewards calibrate aesthetic --images pictures/")
def rewards_calibrate(
    reward: Annotated[str, typer.Argument(help="Reward spec.")],
    images: Annotated[list[Path], typer.Option(help="As for score; repeatable.")],
    prompt: PicturePrompt = None,
    batch_size: BatchSize = 16,
    json: Json = False,
) -> None:
    """Learn a reward's scale from your own pictures, for composites."""
    from cli.commands.scoring import calibrate_command

    calibrate_command(reward, images=images, prompts=prompt, batch_size=batch_size, as_json=json)


@rewards_app.command("agreement", epilog="Example: lasro rewards agreement pickscore --preferences votes.csv")
def rewards_agreement(
    reward: Annotated[str, typer.Argument(help="Reward spec.")],
    preferences: Annotated[
        Path, typer.Option(help="CSV, JSONL or Parquet with columns better, worse (pictures) and, if needed, prompt.")
    ],
    batch_size: BatchSize = 16,
    json: Json = False,
) -> None:
    """How often a reward prefers what people preferred."""
    from cli.commands.scoring import agreement_command

    agreement_command(reward, preferences=preferences, batch_size=batch_size, as_json=json)


@rewards_app.command("check", epilog="Example: lasro rewards check my_rewards.py:left_dark")
def rewards_check(reward: Annotated[str, typer.Argument(help="Reward spec.")], json: Json = False) -> int:
    """Does a reward keep what every reward promises? Exit code 1 if not."""
    from cli.commands.own_rewards import check_command

    return check_command(reward, as_json=json)


@rewards_app.command("new", epilog="Example: lasro rewards new left_dark")
def rewards_new(
    name: Annotated[str, typer.Argument(help="Name of the reward, a Python name.")],
    out: Annotated[Path | None, typer.Option(help="File to write.  [default: NAME.py]")] = None,
) -> None:
    """Write a commented starter file for a reward of your own."""
    from cli.commands.own_rewards import new_command

    new_command(name, out=out)


@cache_app.command("info", epilog="Example: lasro cache info --json")
def cache_info(json: Json = False) -> None:
    """Where kept scores are, and how many."""
    from cli.commands.scoring import cache_info_command

    cache_info_command(as_json=json)


@cache_app.command("clear", epilog="Example: lasro cache clear --reward ocr")
def cache_clear(
    reward: Annotated[str | None, typer.Option(help="Only the scores of this spec.")] = None, json: Json = False
) -> None:
    """Forget kept scores."""
    from cli.commands.scoring import cache_clear_command

    cache_clear_command(reward=reward, as_json=json)


def main() -> int:
    """Entry point: the exit code is the command's, 2 for a user's mistake, 130 for Ctrl-C."""
    code: list[int] = []

    def command() -> None:
        result = app(standalone_mode=False)
        code.append(result if isinstance(result, int) else 0)

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        try:
            failed = run_guarded(command)
        except Exception as error:
            if not hasattr(error, "exit_code") or not hasattr(error, "format_message"):
                raise
            print(f"error: {error.format_message()}", file=sys.stderr)  # a usage error of typer's
            return 2
    return failed or (code[0] if code else 0)
