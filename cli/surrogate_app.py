"""`lasro label`, `distill` and `evaluate`: their flags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    Device,
    GeneratorName,
    Images,
    Json,
    Prompts,
    RewardSpec,
    RewardWorkers,
    RunSettings,
    Seed,
    WeightsFolder,
    reward_names,
)
from cli.settings import command
from finetune.config import Rounds
from surrogate.config import BACKBONE_NAMES, LOSS_NAMES, READER_NAMES, TUNE_MODES, DistillConfig

surrogate_app = typer.Typer(rich_markup_mode=None)
labels_flag, network_flag, training_flag = (
    partial(typer.Option, rich_help_panel=group) for group in ("Labels", "Network", "Training")
)


@dataclass(frozen=True, kw_only=True)
class LabelSettings(RunSettings):
    """What labelling is told, in `lasro label` and `distill`."""

    reward: RewardSpec = None
    generator: GeneratorName = "tiny-signs"
    prompts: Prompts = None
    images: Images = None
    samples: Annotated[int, labels_flag(help="Reward calls to spend on labels.")] = DistillConfig.samples
    noises: Annotated[int, labels_flag(help="Initial noises a prompt.")] = DistillConfig.noises
    extra_steps: Annotated[
        int | None,
        labels_flag(help="Also label samples of so many network calls; 0 is none.  [default: the preset's]"),
    ] = None
    label_batch_size: Annotated[int | None, labels_flag(help="Samples drawn and scored at once.  [default: 64]")] = None
    reward_workers: RewardWorkers = 0


@dataclass(frozen=True, kw_only=True)
class LabelAloneSettings(LabelSettings):
    """What `lasro label` is told."""

    adapter: Annotated[
        Path | None,
        labels_flag(help="Adapter folder that lasro finetune wrote: label pictures of the tuned generator."),
    ] = None
    engine: Annotated[
        str,
        labels_flag(help="local; accelerate: the processes of accelerate launch share the work; ray: those of a Ray cluster."),
    ] = "local"


@command(surrogate_app, LabelAloneSettings, example="lasro label --reward ocr --samples 9600 --out runs/ocr-labels")
def label(settings: LabelAloneSettings) -> None:
    """Collect labels of generated images, to train on later."""
    from cli.commands.distill import label as run
    from reward_zoo.workers import reward_workers

    with reward_workers(settings.reward_workers) as workers:
        run(settings, workers)


@dataclass(frozen=True, kw_only=True)
class DistillSettings(LabelSettings):
    """What `lasro distill` is told."""

    reward: Annotated[
        list[str] | None,
        typer.Option(
            help="Reward spec: ocr, my/file.py:function …; several share a backbone.  [default: that of --data]",
            metavar="SPEC",
            autocompletion=reward_names,
        ),
    ] = None
    generator: Annotated[
        str | None,
        typer.Option(help="Preset, pipeline folder or hub id.  [default: that of --data, else tiny-signs]", metavar="NAME"),
    ] = None
    data: Annotated[list[Path] | None, typer.Option(help="Train on labels that are there; repeatable.")] = None
    held_out: Annotated[float, labels_flag(help="Share of the prompts that measure and are never trained on.")] = (
        DistillConfig.held_out
    )
    rounds: Annotated[
        int,
        labels_flag(help="Parts of the labels; each after the first is of the generator as tuned on the parts before."),
    ] = Rounds.rounds
    drift_steps: Annotated[int, labels_flag(help="With --rounds: steps of that tuning, whose reward calls come on top.")] = (
        Rounds.drift_steps
    )
    drift_learning_rate: Annotated[
        float | None,
        labels_flag(help="With --rounds: its learning rate.  [default: as lasro finetune]"),
    ] = None
    hindsight: Annotated[
        float,
        labels_flag(help="Share of pictures also shown under another prompt, if the reward perceives; 0 is off."),
    ] = DistillConfig.hindsight
    backbone: Annotated[
        str,
        network_flag(
            help=f"{', '.join(BACKBONE_NAMES)}; pixel-timm:MODEL, lrm-xl:FOLDER. auto: latent-cnn to read text, else full."
        ),
    ] = DistillConfig.backbone
    backbone_weights: Annotated[
        str | None,
        network_flag(help="Checkpoint for full and encoder: folder, hub id, .safetensors.  [default: generator]"),
    ] = None
    backbone_depth: Annotated[int, network_flag(help="With encoder: stop after so many down stages; 0 is all.")] = (
        DistillConfig.backbone_depth
    )
    reader: Annotated[
        str,
        network_flag(
            help=f"How latent-cnn and pixel-cnn read: {', '.join(READER_NAMES)}. auto: columns for pictures of one line."
        ),
    ] = DistillConfig.reader
    tune: Annotated[str, network_flag(help=f"What of the backbone is trained: {', '.join(TUNE_MODES)}.")] = DistillConfig.tune
    lora_rank: Annotated[int, network_flag(help="With --tune lora.")] = DistillConfig.lora_rank
    members: Annotated[
        int,
        network_flag(help="Heads a reward, each with two thirds of the prompts; of latent-cnn, whole networks."),
    ] = DistillConfig.members
    pessimism: Annotated[
        float,
        network_flag(help="Standard deviations of the members that a score takes off their mean."),
    ] = DistillConfig.pessimism
    score_time: Annotated[int, network_flag(help="Noise level at which the surrogate is asked.")] = DistillConfig.score_time
    steps: Annotated[
        int | None,
        training_flag(
            help="Most training steps; stops earlier when held-out accuracy falls.  [default: by backbone and labels]"
        ),
    ] = None
    learning_rate: Annotated[float | None, training_flag(help="Peak learning rate.  [default: by backbone]")] = None
    weight_decay: Annotated[float, training_flag(help="Of AdamW.")] = DistillConfig.weight_decay
    losses: Annotated[
        list[str] | None,
        training_flag("--loss", help=f"Repeatable, summed: {', '.join(LOSS_NAMES)}.  [default: the first and the last]"),
    ] = None
    label_smoothing: Annotated[float, training_flag(help="Of the letters that a reader learns.")] = (
        DistillConfig.label_smoothing
    )
    stages_apart: Annotated[bool, training_flag("--stages-apart", help="Compare z1 only with z1, and z2 with z2.")] = False
    prompts_per_batch: Annotated[int | None, training_flag(help="Prompts a step.  [default: by backbone]")] = None
    rows_per_prompt: Annotated[
        int | None,
        training_flag(help="Of each prompt's samples, draw so many; 0 takes all.  [default: by backbone]"),
    ] = None
    patience: Annotated[
        int | None,
        training_flag(help="Evaluations, of twelve, without a better one before it stops.  [default: by backbone]"),
    ] = None
    max_time: Annotated[int, training_flag(help="Training looks through noise of levels below this; 1 is clean only.")] = (
        DistillConfig.max_time
    )
    max_shift: Annotated[int, training_flag(help="Training moves latents by up to so many columns, at random.")] = (
        DistillConfig.max_shift
    )
    bf16: Annotated[bool, training_flag("--bf16/--no-bf16", help="Run the network in bfloat16.")] = True
    gradient_checkpointing: Annotated[
        bool, training_flag("--gradient-checkpointing", help="Less memory, more time; a large UNet always.")
    ] = False
    compile: Annotated[bool, training_flag("--compile", help="torch.compile the backbone.")] = False
    shard: Annotated[
        bool,
        training_flag("--shard", help="Of several processes, each holds a piece of the weights (FSDP), not all of them."),
    ] = False


@command(surrogate_app, DistillSettings, example="lasro distill --reward ocr --samples 9600 --out runs/ocr")
def distill(settings: DistillSettings) -> None:
    """Distil a reward into a differentiable latent surrogate."""
    from cli.commands.distill import distill as run
    from reward_zoo.workers import reward_workers

    with reward_workers(settings.reward_workers) as workers:
        run(settings, workers)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What `lasro evaluate` is told."""

    surrogate: Annotated[Path, typer.Option(help="Surrogate folder that lasro distill wrote.")]
    generator: Annotated[str | None, typer.Option(help="Preset, folder or hub id.  [default: the surrogate's]")] = None
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder: evaluate on samples of the tuned generator.")] = None
    prompts: Annotated[str | None, typer.Option(help="Held-out prompts.  [default: the generator's own]")] = None
    max_prompts: Annotated[int, typer.Option(help="Prompts to use of them.")] = 96
    noises: Annotated[int, typer.Option(help="Initial noises a prompt.")] = 4
    gradient_samples: Annotated[int, typer.Option(help="Latents that take a step along the gradient.")] = 128
    reward_workers: RewardWorkers = 0
    seed: Seed = 0
    device: Device = "auto"
    weights: WeightsFolder = None
    json: Json = False


@command(surrogate_app, EvaluateSettings, example="lasro evaluate --surrogate runs/ocr/surrogate --json")
def evaluate(settings: EvaluateSettings) -> None:
    """Can a surrogate be trusted? Its order, calibration and gradient against the true reward, on held-out prompts."""
    from cli.commands.evaluate import evaluate as run
    from reward_zoo.workers import reward_workers

    with reward_workers(settings.reward_workers) as workers:
        run(settings, workers)
