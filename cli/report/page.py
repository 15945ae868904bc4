"""One self-contained page of one run or of several: every part is rendered by itself, so that a live page can exchange it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cli.report import story
from cli.report.cards import cards, sheets
from cli.report.charts import calibration_chart, distill_charts, rival_chart, tuning_charts
from cli.report.curves import Chart, interval_bar, show
from cli.report.gather import Run, gather_all
from cli.report.settings import differing, machine, settings
from surrogate.errors import RunFolderError

SIGN = '<meta name="generator" content="lasro '


@dataclass(frozen=True)
class Part:
    """A section of the page; `version` changes with what it shows."""

    key: str
    short: str
    title: str
    html: Markup

    @property
    def version(self) -> str:
        """A fingerprint of it."""
        return hashlib.sha256(self.html.encode()).hexdigest()[:16]


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of some run folders to `out`, else into the run's own folder; where it stands.

    Raises:
        RunFolderError: a folder holds no run, or `out` is something else than an earlier report.
    """
    path = out or folders[0] / "report.html"
    if path.is_dir() or (path.is_file() and SIGN not in path.read_text(encoding="utf-8", errors="replace")[:1000]):
        raise RunFolderError(f"--out {path}: exists and is no report; give another name")
    text = page(gather_all(folders))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def page(runs: Sequence[Run], live: dict[str, Any] | None = None) -> str:
    """The whole page. `live` makes it refresh itself: the seconds between looks (`every`), and the run's state as a part."""
    script = _asset("report.js") + (_asset("live.js") if live else "")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _render(
        "page.html",
        title=story.headline(runs[0]) if len(runs) == 1 else f"{len(runs)} runs compared",
        names=", ".join(run.name for run in runs),
        version=version("lasro"),
        made=time.strftime("%Y-%m-%d %H:%M"),
        script=Markup(script),  # noqa: S704 - ours
        script_hash=f"'sha256-{digest}'",
        style=Markup(_asset("style.css")),  # noqa: S704 - ours
        parts=parts(runs),
        several=len(runs) > 1,
        live=live,
    )


def parts(runs: Sequence[Run]) -> list[Part]:
    """The sections that there is something to show in."""
    curves = _curves(runs)
    made = [
        Part("story", "Result", "", _story(runs[0]) if len(runs) == 1 else _comparison(runs)),
        Part("pictures", "Pictures", "Pictures", _pictures(runs)),
        Part("curves", "Curves", "How it went", curves),
        Part("fidelity", "Surrogate", "Can the surrogate be trusted?", _fidelity(runs[0]) if len(runs) == 1 else Markup("")),
        Part("settings", "Settings", "Settings and machine", _settings(runs)),
    ]
    return [part for part in made if part.html.strip()]


def state_part(run: Run) -> Part:
    """How a watched run fares, in words."""
    state = run.state
    words = {"dead": "No sign of life", "unknown": "An old run", "failed": "Failed", "ended": "Ended, and saved"}
    return Part("live", "This run", "", _render("state.html", state=state, **story.fares(run), word=_word(state, words)))


def _word(state: dict[str, Any], words: dict[str, str]) -> str:
    if state.get("wish") == "stop":
        return "Stopping"
    if state.get("wish") == "pause" and state["state"] == "running":
        return "Pausing"
    return words.get(state["state"], state["state"].capitalize())


def _story(run: Run) -> Markup:
    return _render(
        "story.html",
        run=run,
        headline=story.headline(run),
        verdict=story.verdict(run),
        facts=story.facts(run),
        measures=story.measures(run),
        alarms=[(name.replace("_", " "), part) for name, part in run.summary.get("alarms", {}).items()] if run.tuned else [],
        distance=run.summary.get("distance_to_base"),
        bar=lambda row: interval_bar(
            row.before, row.after, row.before + row.ci95[0], row.before + row.ci95[1], least=row.low, most=row.high
        ),
    )


def _comparison(runs: Sequence[Run]) -> Markup:
    rows = []
    for run in runs:
        found = story.measures(run)
        guards = [row for row in found if row.note.startswith("guard")]
        rows.append({"run": run, "reward": found[0] if found else None, "guards": guards, "verdict": story.verdict(run)})
    mixed = len({(run.reward, run.generator) for run in runs}) > 1
    return _render("compare.html", runs=runs, rows=rows, mixed=mixed, differing=differing(runs))


def _pictures(runs: Sequence[Run]) -> Markup:
    rows = cards(runs)
    shown = [card for card in rows if card.shown]
    pictures = [side.picture for card in shown[:1] for side in card.sides if side.picture]
    return _render(
        "pictures.html",
        rows=rows,
        shown=shown,
        wide=any(picture.wide for picture in pictures),
        perceives=any(side.perceived is not None for card in rows[:1] for side in card.sides),
        reads=runs[0].reads,
        sheets=list(sheets(runs[0])) if len(runs) == 1 else [],
    )


def _curves(runs: Sequence[Run]) -> Markup:
    if len(runs) > 1:
        rivals = rival_chart(runs)
        return _render("curves.html", charts=[rivals], key="all", numbers=None) if rivals else Markup("")
    charts = tuning_charts(runs[0])
    return _render("curves.html", charts=charts, key="tuning", numbers=_numbers(charts)) if charts else Markup("")


def _numbers(charts: Sequence[Chart]) -> dict[str, Any] | None:
    """The dotted lines as a table: one row a validation."""
    lines = [part for chart in charts for part in chart.series if part.dots]
    if not lines:
        return None
    known = [dict(line.points) for line in lines]
    places = sorted({x for points in known for x in points})
    rows = [[show(x), *(show(points[x]) if x in points else "" for points in known)] for x in places]
    return {"names": [charts[0].x_name, *(line.name for line in lines)], "rows": rows}


def _fidelity(run: Run) -> Markup:
    if not run.fidelity.get("pairwise"):
        return Markup("")
    return _render(
        "fidelity.html",
        verdict=story.trust(run.fidelity),
        calibration=calibration_chart(run.fidelity, run.drift),
        charts=distill_charts(run),
        accuracies=[
            {**row, "bar": interval_bar(None, row["value"], *(row["ci95"] or (row["value"],) * 2), least=0.5, most=1.0)}
            for row in story.accuracies(run)
        ],
        margin=run.fidelity["pairwise"].get("margin"),
        steps=run.fidelity.get("gradient", {}).get("by_step", []),
    )


def _settings(runs: Sequence[Run]) -> Markup:
    found = [
        {
            "name": run.name,
            "generator": run.generator,
            "command": run.environment.get("command"),
            "adapter": run.summary.get("adapter"),
            "config": settings(run),
            "environment": machine(run),
        }
        for run in runs
    ]
    return _render("settings.html", runs=found)


def _score(value: float | None) -> str:
    return "no score" if value is None else f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _change(value: float) -> str:
    return _minus(f"{value:+.2f}" if abs(value) < 100 else f"{value:+,.0f}")


def _signed(value: float) -> str:
    return _minus(f"{value:+.3f}" if abs(value) < 100 else f"{value:+,.0f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cli.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": story.number, "score": _score, "change": _change, "signed": _signed}
    environment.policies["json.dumps_function"] = lambda data, **_: json.dumps(data, ensure_ascii=False)
    return environment


def _render(template: str, **facts: Any) -> Markup:  # noqa: ANN401 - what the template asks for
    return Markup(_environment().get_template(template).render(**facts))  # noqa: S704 - autoescaped


@cache
def _asset(name: str) -> str:
    return (files("cli.report") / "templates" / name).read_text(encoding="utf-8")
