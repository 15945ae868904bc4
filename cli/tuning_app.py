"""`lasro finetune`, `export` and `generate`: their flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    Device,
    GeneratorName,
    Guard,
    Json,
    Out,
    Overwrite,
    Precision,
    Prompts,
    Resume,
    Seed,
    TextCache,
)
from cli.trackers import PACKAGES as TRACKERS
from finetune.config import FinetuneConfig
from finetune.methods import METHODS

tuning_app = typer.Typer(rich_markup_mode=None)


@tuning_app.command(
    epilog="Example: lasro finetune --surrogate runs/ocr/surrogate --guard ocr:engine=easyocr --out runs/ocr-tuned"
)
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


@tuning_app.command(epilog="Example: lasro export runs/ocr-tuned --merge --out my-pipeline")
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


@tuning_app.command(epilog="Example: lasro generate --prompt 'a red sign that says \"OPEN\" in white' --out open.png")
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
