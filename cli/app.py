"""`lasro`: the commands, their flags and help. Work is imported when a command runs, so help is quick."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from cli.bench_app import bench_app
from cli.failures import run_guarded
from cli.options import (
    Device,
    ExtraSteps,
    GeneratorName,
    Guard,
    Images,
    Json,
    Noises,
    Out,
    Overwrite,
    Precision,
    Prompts,
    Resume,
    Samples,
    Seed,
    TextCache,
)
from cli.rewards_app import cache_app, rewards_app
from cli.trackers import PACKAGES as TRACKERS
from finetune.config import FinetuneConfig
from finetune.methods import METHODS
from surrogate.config import BACKBONE_NAMES, LOSS_NAMES, TUNE_MODES, DistillConfig

app = typer.Typer(
    name="lasro",
    help="Image rewards, latent surrogates distilled from them, and two-step SDXL generators tuned on them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(rewards_app, name="rewards")
app.add_typer(cache_app, name="cache")
app.add_typer(bench_app, name="bench")


@app.command(epilog="Example: lasro quickstart --out runs/quickstart --json")
def quickstart(
    out: Out = Path("runs/quickstart"),
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(help="Reward calls to spend on labels.")] = 4500,
    steps: Annotated[int, typer.Option(help="Generator steps.")] = 80,
    eval_samples: Annotated[int, typer.Option(help="Held-out images to compare.")] = 256,
    overwrite: Overwrite = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """The whole story on the embedded generator: distil ocr, tune, compare. Minutes on two CPU cores."""
    from cli.commands.quickstart import quickstart as run

    sizes = {"samples": samples, "steps": steps, "eval_samples": eval_samples}
    run(out=out, seed=seed, **sizes, device=device, overwrite=overwrite, as_json=json)


@app.command(epilog="Example: lasro label --reward ocr --samples 9600 --out runs/ocr-labels")
def label(
    reward: Annotated[str, typer.Option(help="Reward spec.")],
    out: Annotated[Path, typer.Option(help="Run folder; the store is its folder labels.")],
    generator: GeneratorName = "tiny-signs",
    prompts: Prompts = None,
    images: Images = None,
    samples: Samples = DistillConfig.samples,
    noises: Noises = DistillConfig.noises,
    extra_steps: ExtraSteps = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    resume: Resume = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Collect labels of generated images, to train on later."""
    from cli.commands.distill import label as run

    run(
        reward=reward,
        generator=generator,
        prompts=prompts,
        images=images,
        out=out,
        settings={"samples": samples, "noises": noises, "extra_steps": extra_steps, "seed": seed},
        device=device,
        overwrite=overwrite,
        resume=resume,
        as_json=json,
    )


@app.command(epilog="Example: lasro distill --reward ocr --samples 9600 --out runs/ocr")
def distill(
    reward: Annotated[
        list[str] | None,
        typer.Option(help="Reward spec: ocr, my/file.py:function …; several share a backbone.  [default: that of --data]"),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Preset, pipeline folder or hub id.  [default: that of --data, else tiny-signs]")
    ] = None,
    prompts: Prompts = None,
    images: Images = None,
    data: Annotated[list[Path] | None, typer.Option(help="Train on labels that are there; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.  [default: runs/REWARD]")] = None,
    samples: Samples = DistillConfig.samples,
    noises: Noises = DistillConfig.noises,
    backbone: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(BACKBONE_NAMES)}; pixel-timm:MODEL, lrm-xl:FOLDER. auto: latent-cnn to read text, else full."
        ),
    ] = DistillConfig.backbone,
    backbone_weights: Annotated[
        str | None,
        typer.Option(help="Checkpoint for full and encoder: folder, hub id, .safetensors.  [default: generator]"),
    ] = None,
    backbone_depth: Annotated[
        int, typer.Option(help="With encoder: stop after so many down stages; 0 is all.")
    ] = DistillConfig.backbone_depth,
    tune: Annotated[str, typer.Option(help=f"What of the backbone is trained: {', '.join(TUNE_MODES)}.")] = DistillConfig.tune,
    lora_rank: Annotated[int, typer.Option(help="With --tune lora.")] = DistillConfig.lora_rank,
    members: Annotated[int, typer.Option(help="Heads a reward, each with two thirds of the prompts.")] = DistillConfig.members,
    pessimism: Annotated[
        float, typer.Option(help="Standard deviations of the members that a score takes off their mean.")
    ] = DistillConfig.pessimism,
    steps: Annotated[
        int | None,
        typer.Option(help="Most training steps; stops earlier when held-out accuracy falls.  [default: by backbone]"),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.  [default: by backbone]")] = None,
    loss: Annotated[
        list[str] | None, typer.Option(help=f"Repeatable, summed: {', '.join(LOSS_NAMES)}.  [default: the first and the last]")
    ] = None,
    extra_steps: ExtraSteps = None,
    stages_apart: Annotated[bool, typer.Option("--stages-apart", help="Compare z1 only with z1, and z2 with z2.")] = False,
    prompts_per_batch: Annotated[int | None, typer.Option(help="Prompts a step.  [default: by backbone]")] = None,
    rows_per_prompt: Annotated[
        int | None, typer.Option(help="Of each prompt's samples, draw so many; 0 takes all.  [default: by backbone]")
    ] = None,
    max_time: Annotated[
        int, typer.Option(help="Training looks through noise of levels below this; 1 is clean only.")
    ] = DistillConfig.max_time,
    score_time: Annotated[int, typer.Option(help="Noise level at which the surrogate is asked.")] = DistillConfig.score_time,
    bf16: Annotated[bool, typer.Option("--bf16/--no-bf16", help="Run the network in bfloat16.")] = True,
    gradient_checkpointing: Annotated[bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Of several processes, each holds a piece of the weights (FSDP), not all of them.")
    ] = False,
    compile_backbone: Annotated[bool, typer.Option("--compile", help="torch.compile the backbone.")] = False,
    hindsight: Annotated[
        float, typer.Option(help="Share of pictures also shown under another prompt, if the reward perceives; 0 is off.")
    ] = DistillConfig.hindsight,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    resume: Resume = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Distil a reward into a differentiable latent surrogate."""
    from cli.commands.distill import distill as run

    settings = {
        "samples": samples,
        "noises": noises,
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "backbone_depth": backbone_depth,
        "tune": tune,
        "lora_rank": lora_rank,
        "members": members,
        "pessimism": pessimism,
        "steps": steps,
        "learning_rate": learning_rate,
        "stages_apart": stages_apart,
        "prompts_per_batch": prompts_per_batch,
        "rows_per_prompt": rows_per_prompt,
        "max_time": max_time,
        "score_time": score_time,
        "bf16": bf16,
        "gradient_checkpointing": gradient_checkpointing,
        "compile": compile_backbone,
        **({"losses": tuple(loss)} if loss else {}),
    }
    run(
        reward="+".join(reward) if reward else None,
        generator=generator,
        prompts=prompts,
        images=images,
        data=data or [],
        out=out,
        settings={**settings, "extra_steps": extra_steps, "hindsight": hindsight, "seed": seed},
        shard=shard,
        device=device,
        overwrite=overwrite,
        resume=resume,
        as_json=json,
    )


@app.command(epilog="Example: lasro finetune --surrogate runs/ocr/surrogate --guard ocr:engine=easyocr --out runs/ocr-tuned")
def finetune(
    surrogate: Annotated[
        Path | None, typer.Option(help="Surrogate folder that lasro distill wrote; for --method lasro.")
    ] = None,
    reward: Annotated[str | None, typer.Option(help="Reward spec.  [default: the surrogate's]")] = None,
    method: Annotated[str, typer.Option(help=f"How it is tuned: {', '.join(METHODS)}.")] = FinetuneConfig.method,
    generator: Annotated[
        str | None, typer.Option(help="Preset, folder or hub id.  [default: the surrogate's, else tiny-signs]")
    ] = None,
    prompts: Prompts = None,
    eval_prompts: Annotated[str | None, typer.Option(help="Held-out prompts for before and after.")] = None,
    eval_samples: Annotated[int, typer.Option(help="Held-out images to compare.")] = 256,
    guard: Guard = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(TRACKERS)}, none; repeatable.  [default: tensorboard]")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Captioned real pictures for the LCM loss: with --set lcm_weight=500.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Generator whose UNet teaches the LCM loss.  [default: the frozen one]")
    ] = None,
    out: Out = Path("runs/tuned"),
    steps: Annotated[int, typer.Option(help="Steps of the method.")] = FinetuneConfig.steps,
    batch_size: Annotated[int, typer.Option(help="Prompts a step.")] = FinetuneConfig.batch_size,
    gradient_accumulation_steps: Annotated[
        int, typer.Option(help="Batches that the weights wait for before they take a step.")
    ] = FinetuneConfig.gradient_accumulation_steps,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate.  [default: by method]")] = None,
    tune: Annotated[str, typer.Option(help="lora, or full: all of the UNet.")] = FinetuneConfig.tune,
    lora_rank: Annotated[int, typer.Option(help="Rank of the LoRA.")] = FinetuneConfig.lora_rank,
    lora_targets: Annotated[
        str | None,
        typer.Option(
            help="Where the LoRA sits: attention, or all: feed-forward and convolutions too.  [default: the preset's]"
        ),
    ] = None,
    max_reward_calls: Annotated[
        int | None, typer.Option(help="Stop when training and validation have called the reward so often.")
    ] = None,
    evaluate_every: Annotated[
        int, typer.Option(help="Steps between validations and checkpoints.")
    ] = FinetuneConfig.evaluate_every,
    keep: Annotated[int, typer.Option(help="Checkpoints kept.")] = FinetuneConfig.keep,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method, NAME=VALUE; repeatable. See docs/methods.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Compute the UNet's activations twice: less memory, more time.")
    ] = False,
    precision: Precision = "float32",
    text_cache: TextCache = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    resume: Resume = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Tune a two-step generator on a reward, with the true reward watching; writes a LoRA."""
    from cli.commands.finetune import finetune as run

    settings = {
        "method": method,
        "steps": steps,
        "batch_size": batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "learning_rate": learning_rate,
        "tune": tune,
        "lora_rank": lora_rank,
        "lora_targets": lora_targets,
        "max_reward_calls": max_reward_calls,
        "evaluate_every": evaluate_every,
        "keep": keep,
        "seed": seed,
    }
    run(
        surrogate=surrogate,
        reward=reward,
        generator=generator,
        prompts=prompts,
        eval_prompts=eval_prompts,
        eval_samples=eval_samples,
        guards=guard,
        trackers=tracker or ["tensorboard"],
        images=images,
        teacher=teacher,
        out=out,
        settings=settings,
        method_settings=set_ or [],
        loading={"gradient_checkpointing": gradient_checkpointing, "precision": precision, "text_cache": text_cache},
        device=device,
        overwrite=overwrite,
        resume=resume,
        as_json=json,
    )


@app.command(epilog="Example: lasro export runs/ocr-tuned --merge --out my-pipeline")
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of lasro finetune, or its adapter folder.")],
    generator: Annotated[str | None, typer.Option(help="What was tuned.  [default: what the run says]")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Write the whole pipeline with the adapter in its weights.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the merged pipeline.")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload adapter or pipeline to OWNER/NAME on the hub.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Merge a tuned adapter into a pipeline folder, or push it to the hub."""
    from cli.commands.export import export as command

    command(run=run, generator=generator, merge=merge, out=out, push_to_hub=push_to_hub, overwrite=overwrite, as_json=json)


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
    device: Device = "auto",
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
        device=device,
        as_json=json,
    )


@app.command(epilog="Example: lasro generate --prompt 'a red sign that says \"OPEN\" in white' --out open.png")
def generate(
    prompt: Annotated[list[str], typer.Option(help="What to paint; repeatable.")],
    out: Annotated[Path, typer.Option(help="PNG file; several pictures become a grid.")],
    generator: GeneratorName = "tiny-signs",
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder that lasro finetune wrote.")] = None,
    num_inference_steps: Annotated[int | None, typer.Option(help="Network calls an image.  [default: the preset's]")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; repeatable, one picture each.  [default: 0]")] = None,
    surrogate: Annotated[Path | None, typer.Option(help="Surrogate folder, for the two options below.")] = None,
    best_of: Annotated[int, typer.Option(help="Keep the best of so many noises, by the surrogate.")] = 1,
    optimize_noise: Annotated[int, typer.Option(help="Climb the surrogate in the noise by so many steps.")] = 0,
    device: Device = "auto",
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
        device=device,
        overwrite=overwrite,
    )


@app.command(epilog="Example: lasro doctor --json")
def doctor(json: Json = False) -> None:
    """Which rewards run on this machine, and what the others lack."""
    from cli.commands.rewards import doctor_command

    doctor_command(as_json=json)


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
