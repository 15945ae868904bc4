"""`lasro generate` and `lasro compare`: their flags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device, GeneratorName, Json, WeightsFolder, reward_names
from cli.settings import command, offer

generate_app = typer.Typer(rich_markup_mode=None)
search_flag = partial(typer.Option, rich_help_panel="Search, by a surrogate")
LIKE = ("prompt", "seed", "generator", "adapter", "num_inference_steps", "surrogate", "best_of", "optimize_noise")


def like_picture(context: typer.Context, path: Path | None) -> Path | None:
    """Callback of `--like`: what the picture was made of becomes the defaults of this call.

    Raises:
        ImageError: the picture says nothing of it.
    """
    if path is not None and not context.resilient_parsing:
        from cli.picture_metadata import read_parameters

        held = read_parameters(path)
        for name in LIKE:
            offer(context, name, held.get(name), f"--like {path}")
    return path


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """What `lasro generate` is told."""

    prompt: Annotated[list[str] | None, typer.Option(help="What to paint; repeatable.")] = None
    prompts: Annotated[str | None, typer.Option(help="Prompt set, text file of a prompt a line, or table.")] = None
    max_prompts: Annotated[int | None, typer.Option(help="The first so many of --prompts.")] = None
    seed: Annotated[
        list[str] | None, typer.Option(help="0, 0-3 or 1,5,9; repeatable; a picture for each prompt and seed.  [default: 0]")
    ] = None
    out: Annotated[
        Path | None, typer.Option(help="NAME.png: one picture, or all in a grid. Else a folder: each by itself, and grid.png.")
    ] = None
    generator: GeneratorName = "tiny-signs"
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder that lasro finetune wrote.")] = None
    compare: Annotated[bool, typer.Option("--compare", help="Without and with the adapter, side by side.")] = False
    reward: Annotated[
        list[str] | None,
        typer.Option(
            help="Reward spec; its scores stand under the pictures; repeatable.", metavar="SPEC", autocompletion=reward_names
        ),
    ] = None
    num_inference_steps: Annotated[int | None, typer.Option(help="Network calls an image.  [default: the preset's]")] = None
    like: Annotated[
        Path | None,
        typer.Option(
            is_eager=True,
            callback=like_picture,
            help="Prompt, seed, generator, adapter, steps and search of a picture; flags go over them.",
        ),
    ] = None
    batch_size: Annotated[int, typer.Option(help="Pictures painted at once.")] = 8
    surrogate: Annotated[Path | None, search_flag(help="Surrogate folder, for the two options below.")] = None
    best_of: Annotated[int, search_flag(help="Keep the best of so many noises, by the surrogate.")] = 1
    optimize_noise: Annotated[int, search_flag(help="Climb the surrogate in the noise by so many steps.")] = 0
    weights: WeightsFolder = None
    device: Device = "auto"
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace lasro's pictures at --out.")] = False
    json: Json = False


@command(
    generate_app,
    GenerateSettings,
    example="lasro generate --prompt 'a red sign that says \"OPEN\" in white' --seed 0-3 --out open.png",
)
def generate(settings: GenerateSettings) -> None:
    """Generate pictures, with or without an adapter, or both side by side with scores.

    What each picture is made of stands in its PNG: --like makes it again.
    """
    from cli.commands.generate import generate as run

    run(settings)


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """What `lasro compare` is told."""

    folders: Annotated[
        list[Path], typer.Argument(help="Folders A and B with pictures of the same names; or one of lasro generate --compare.")
    ]
    votes: Annotated[Path, typer.Option(help="CSV file of votes; a vote is a line, and what is there is not asked again.")] = (
        Path("votes.csv")
    )
    voter: Annotated[str, typer.Option(help="Who votes; each voter is shown every pair.")] = "me"
    seed: Annotated[int, typer.Option(help="Of the order, and of who stands left.")] = 0
    max_pairs: Annotated[int | None, typer.Option(help="Show so many pairs, drawn by the seed.")] = None
    port: Annotated[int, typer.Option(help="Port of the page on this machine; 0 takes a free one.")] = 0
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True
    summary: Annotated[bool, typer.Option("--summary", help="Ask nothing; say what the votes are.")] = False
    json: Json = False


@command(generate_app, CompareSettings, example="lasro compare pictures/base pictures/tuned --votes votes.csv")
def compare(settings: CompareSettings) -> None:
    """Vote blindly between pairs of pictures in a local page: 1 left, 2 right, 0 neither; the result with its interval."""
    from cli.commands.compare import compare as run

    run(settings)
