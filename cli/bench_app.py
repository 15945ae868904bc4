"""`lasro bench`: its subcommands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.help import Grouped, shown
from cli.options import Device, Guard, Json
from cli.settings import command
from finetune.methods import METHODS

bench_app = typer.Typer(help="Benchmarks: methods against each other, and why two steps are hard.", no_args_is_help=True)
RIVALS = ",".join(name for name in METHODS if name not in ("refl", "draft-lv"))  # which need a gradient


@dataclass(frozen=True, kw_only=True)
class SignsSettings:
    """What `lasro bench signs` is told."""

    methods: Annotated[str, typer.Option(help="Names with commas between; lasro:anchor=false is one with another setting.")] = (
        RIVALS
    )
    budget: Annotated[int, typer.Option(help="Largest number of reward calls: 4000, 8000, 16000; 32000 for LaSRO.")] = 16_000
    seeds: Annotated[int, typer.Option(help="Runs a method, from seed 0.")] = 3
    reward: Annotated[str, typer.Option(help="Reward spec.")] = "ocr"
    guards: Guard = None
    out: Annotated[Path, typer.Option(help="Folder of results; what is there is not run again.")] = Path("runs/bench-signs")
    rates_from: Annotated[
        Path | None, typer.Option(help="Folder of another reward's benchmark: take its learning rates, tune none.")
    ] = None
    show: Annotated[bool, typer.Option("--show", help="Run nothing; show what is there.")] = False
    device: Device = "auto"
    json: Json = False


@command(bench_app, SignsSettings, example="lasro bench signs --methods lasro,ddpo --budget 8000 --seeds 1")
def signs(settings: SignsSettings) -> None:
    """Every method on the embedded generator, at equal reward calls."""
    from cli.commands.bench import signs as run

    run(settings)


@bench_app.command(cls=Grouped, epilog=shown("lasro bench analysis --json"))
def analysis(
    out: Annotated[Path, typer.Option(help="Folder of results; what is there is not measured again.")] = Path(
        "runs/bench-analysis"
    ),
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Why two steps are hard: variety, smoothness, gradient noise and likelihood by number of steps."""
    from cli.commands.bench import analysis as run

    run(out=out, device=device, as_json=json)
