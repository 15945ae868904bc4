"""`lasro`: the commands, each room's flags in a file of its own. Work is imported when a command runs, so help is quick."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.bench_app import bench_app
from cli.config_app import config_app
from cli.download_app import download_app
from cli.failures import INTERRUPTED, USAGE_ERROR, interrupted, run_guarded
from cli.generate_app import generate_app
from cli.help import Grouped, shown
from cli.options import Device, Json, Out, Overwrite, Resume, Seed, WeightsFolder
from cli.report_app import report_app
from cli.rewards_app import cache_app, rewards_app
from cli.serve_app import serve_app
from cli.surrogate_app import surrogate_app
from cli.tuning_app import tuning_app

app = typer.Typer(
    name="lasro",
    help="Image rewards, latent surrogates distilled from them, and two-step SDXL generators tuned on them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command(cls=Grouped, epilog=shown("lasro quickstart --out runs/quickstart --json"))
def quickstart(
    out: Out = Path("runs/quickstart"),
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(help="Reward calls to spend on labels.")] = 4500,
    steps: Annotated[int, typer.Option(help="Generator steps.")] = 200,
    eval_samples: Annotated[int, typer.Option(help="Held-out images to compare.")] = 256,
    overwrite: Overwrite = False,
    resume: Resume = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """The whole story on the embedded generator: distil ocr, tune, compare. Minutes on two CPU cores."""
    from cli.commands.quickstart import quickstart as run

    sizes = {"samples": samples, "steps": steps, "eval_samples": eval_samples}
    run(out=out, seed=seed, **sizes, device=device, overwrite=overwrite, resume=resume, as_json=json)


app.add_typer(surrogate_app)
app.add_typer(tuning_app)
app.add_typer(generate_app)
app.add_typer(download_app)
app.add_typer(report_app)
app.add_typer(serve_app)
app.add_typer(bench_app, name="bench")
app.add_typer(rewards_app, name="rewards")
app.add_typer(cache_app, name="cache")
app.add_typer(config_app, name="config")


@app.command(cls=Grouped, epilog=shown("lasro doctor --json"))
def doctor(weights: WeightsFolder = None, json: Json = False) -> None:
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
            print(f"error: {usage(error)}", file=sys.stderr)
            return USAGE_ERROR
    if code == [INTERRUPTED]:  # typer keeps the KeyboardInterrupt to itself
        return interrupted()
    return failed or (code[0] if code else 0)


def usage(error: Any) -> str:
    """What a usage error of typer's says, with the nearest flag in our words."""
    near, option = getattr(error, "possibilities", None), getattr(error, "option_name", "")
    if not option:
        return error.format_message()
    return f"No such option: {option}" + (f"; did you mean {near[0]!r}?" if near else "; --help lists all of them")
