"""`lasro report` and `lasro watch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.output import print_json, print_lines
from cli.report.gather import Run, gather
from cli.report.page import write_report
from reward_zoo.terminal import note


def report(folders: Sequence[Path], *, out: Path | None, as_json: bool) -> None:
    """Write the page and say where."""
    path = write_report(folders, out or (Path("report.html") if len(folders) > 1 else None))
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size, "runs": [_headline(gather(run)) for run in folders]})
    else:
        print_lines([str(path)])


def _headline(run: Run) -> dict[str, Any]:
    """The numbers that a script asks for first."""
    names = ("reward", "reward_calls", "minutes", "best_step", "verdict", "pairwise")
    found = {name: run.summary[name] for name in names if name in run.summary and not isinstance(run.summary[name], str)}
    return {"run": str(run.path), "reward_name": run.reward, "generator": run.generator, "state": run.state["state"], **found}


def watch(folder: Path, *, port: int, as_json: bool) -> None:
    """Serve until Ctrl-C."""
    from cli.report.live import LivePage, Server

    with Server(LivePage(folder), port) as server:
        note(f"watching {folder} at {server.address} (this machine only; Ctrl-C ends the watching, not the run)")
        if as_json:
            print_json({"url": server.address})
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("no longer watching; the run goes on")
