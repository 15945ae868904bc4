"""`lasro finetune` and `export`: their flags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.help import Grouped, shown
from cli.options import Guard, Json, Overwrite, Prompts, RewardWorkers, RunSettings, WeightsFolder, reward_names
from cli.settings import command
from finetune.config import FinetuneConfig
from finetune.methods import METHODS
from finetune.trackers import PACKAGES as TRACKERS

tuning_app = typer.Typer(rich_markup_mode=None)


generator_flag, method_flag = (partial(typer.Option, rich_help_panel=group) for group in ("Generator", "Method"))
watching_flag = partial(typer.Option, rich_help_panel="Watching")


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(RunSettings):
    """What `lasro finetune` is told."""

    surrogate: Annotated[Path | None, typer.Option(help="Surrogate folder that lasro distill wrote; for --method lasro.")] = (
        None
    )
    reward: Annotated[
        str | None,
        typer.Option(help="Reward spec.  [default: the surrogate's]", metavar="SPEC", autocompletion=reward_names),
    ] = None
    method: Annotated[
        str,
        typer.Option(help=f"How it is tuned: {', '.join(METHODS)}.", autocompletion=lambda incomplete: list(METHODS)),
    ] = FinetuneConfig.method
    reward_workers: RewardWorkers = 0
    prompts: Prompts = None
    eval_prompts: Annotated[str | None, typer.Option(help="Held-out prompts for before and after.")] = None
    generator: Annotated[
        str | None,
        generator_flag(help="Preset, folder or hub id.  [default: the surrogate's, else tiny-signs]", metavar="NAME"),
    ] = None
    tune: Annotated[str, generator_flag(help="lora, or full: all of the UNet.")] = FinetuneConfig.tune
    lora_rank: Annotated[int, generator_flag(help="Rank of the LoRA.")] = FinetuneConfig.lora_rank
    lora_targets: Annotated[
        str | None,
        generator_flag(
            help="Where the LoRA sits: attention, or all: feed-forward and convolutions too.  [default: the preset's]"
        ),
    ] = None
    precision: Annotated[
        str, generator_flag(help="Of the frozen weights: float32, bfloat16, or float16 (not for training).")
    ] = "float32"
    gradient_checkpointing: Annotated[
        bool | None,
        generator_flag(
            "--gradient-checkpointing/--no-gradient-checkpointing",
            help="Compute activations of UNets twice: less memory, more time.  [default: where they are as large as SDXL's]",
        ),
    ] = None
    text_cache: Annotated[
        Path | None,
        generator_flag(help="Folder that remembers encoded prompts; text encoders are loaded for new ones alone."),
    ] = None
    steps: Annotated[int, method_flag(help="Steps of the method.")] = FinetuneConfig.steps
    batch_size: Annotated[int, method_flag(help="Prompts a step.")] = FinetuneConfig.batch_size
    gradient_accumulation_steps: Annotated[
        int, method_flag(help="Batches that the weights wait for before they take a step.")
    ] = FinetuneConfig.gradient_accumulation_steps
    learning_rate: Annotated[float | None, method_flag(help="Learning rate.  [default: by generator and method]")] = None
    lr_scheduler: Annotated[str | None, method_flag(help="constant, or cosine over --steps.  [default: by method]")] = None
    max_grad_norm: Annotated[float, method_flag(help="Longer gradients are cut to it.")] = FinetuneConfig.max_grad_norm
    ema_decay: Annotated[
        float, method_flag(help="Of the averaged weights that are validated and exported; 0 exports the last step.")
    ] = FinetuneConfig.ema_decay
    max_reward_calls: Annotated[
        int | None, method_flag(help="Stop when training and validation have called the reward so often.")
    ] = None
    images: Annotated[Path | None, method_flag(help="Captioned real pictures for the LCM loss: with --set lcm_weight=500.")] = (
        None
    )
    teacher: Annotated[
        str | None, method_flag(help="Generator whose UNet teaches the LCM loss.  [default: the frozen one]")
    ] = None
    guards: Guard = None
    evaluate_every: Annotated[int, watching_flag(help="Steps between validations and checkpoints.")] = (
        FinetuneConfig.evaluate_every
    )
    validation_samples: Annotated[int, watching_flag(help="Fixed prompts and seeds that pick the best checkpoint.")] = (
        FinetuneConfig.validation_samples
    )
    eval_samples: Annotated[int, watching_flag(help="Held-out images to compare, before and after.")] = 256
    keep: Annotated[int, watching_flag(help="Checkpoints kept.")] = FinetuneConfig.keep
    trackers: Annotated[
        list[str] | None,
        watching_flag("--tracker", help=f"{', '.join(TRACKERS)}, none; repeatable.  [default: tensorboard]"),
    ] = None


@command(
    tuning_app,
    FinetuneSettings,
    example="lasro finetune --surrogate runs/ocr/surrogate --guard ocr:engine=easyocr --out runs/ocr-tuned",
)
def finetune(settings: FinetuneSettings) -> None:
    """Tune a two-step generator on a reward, with the true reward watching; writes a LoRA.

    --set also takes the settings of the method, see docs/methods.
    """
    from cli.commands.finetune import finetune as run
    from reward_zoo.workers import reward_workers

    with reward_workers(settings.reward_workers) as workers:
        run(settings, workers)


@tuning_app.command(cls=Grouped, epilog=shown("lasro export runs/ocr-tuned --merge --out my-pipeline"))
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of lasro finetune, or its adapter folder.")],
    generator: Annotated[str | None, typer.Option(help="What was tuned.  [default: what the run says]")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Write the whole pipeline with the adapter in its weights.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the merged pipeline.")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload adapter or pipeline to OWNER/NAME on the hub.")] = None,
    overwrite: Overwrite = False,
    weights: WeightsFolder = None,
    json: Json = False,
) -> None:
    """Merge a tuned adapter into a pipeline folder, or push it to the hub."""
    from cli.commands.export import export as command

    command(run=run, generator=generator, merge=merge, out=out, push_to_hub=push_to_hub, overwrite=overwrite, as_json=json)
