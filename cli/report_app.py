"""`lasro report` and `lasro watch`: their flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.help import Grouped, shown
from cli.options import Json

report_app = typer.Typer(rich_markup_mode=None)


@report_app.command(cls=Grouped, epilog=shown("lasro report runs/ocr-tuned runs/ocr-ddpo --out compared.html"))
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are compared in one page.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file.  [default: report.html in the run's folder; of several, here]")
    ] = None,
    json: Json = False,
) -> None:
    """Write a run's report, or the comparison of several, as one HTML file that needs no network."""
    from cli.commands.report import report as run

    run(runs, out=out, as_json=json)


@report_app.command(cls=Grouped, epilog=shown("lasro watch runs/ocr-tuned"))
def watch(
    run: Annotated[Path, typer.Argument(help="Run folder of a job that runs, here or on a machine that shares the folder.")],
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 8765,
    json: Json = False,
) -> None:
    """Show a running job's report in the browser, refreshed, with buttons to pause it and to stop it safely."""
    from cli.commands.report import watch as command

    command(run, port=port, as_json=json)
