"""`lasro label`, `distill` and `evaluate`: their flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    Device,
    ExtraSteps,
    GeneratorName,
    Images,
    Json,
    Noises,
    Overwrite,
    Prompts,
    Resume,
    Samples,
    Seed,
)
from surrogate.config import BACKBONE_NAMES, LOSS_NAMES, TUNE_MODES, DistillConfig

surrogate_app = typer.Typer(rich_markup_mode=None)


@surrogate_app.command(epilog="Example: lasro label --reward ocr --samples 9600 --out runs/ocr-labels")
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


@surrogate_app.command(epilog="Example: lasro distill --reward ocr --samples 9600 --out runs/ocr")
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
    members: Annotated[
        int, typer.Option(help="Heads a reward, each with two thirds of the prompts; of latent-cnn, whole networks.")
    ] = DistillConfig.members,
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


@surrogate_app.command(epilog="Example: lasro evaluate --surrogate runs/ocr/surrogate --json")
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
