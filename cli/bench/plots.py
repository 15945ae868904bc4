"""Curves of a benchmark's results; from the results alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Value = Callable[[dict[str, Any]], float]


def save_curves(summary: dict[str, Any], path: Path) -> None:
    """Reward over calls and over minutes, one-step reward, guards and diversity over calls: mean, lowest and highest seed.

    Of variants (lasro:anchor=false) only those with another backbone, or all if there are no methods as they are.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    untuned, guards = summary["untuned"], list(summary["untuned"]["guards"])
    panels: list[tuple[str, str, Value]] = [
        (summary["reward"], "calls", lambda row: row["reward"]),
        (summary["reward"], "minutes", lambda row: row["reward"]),
        (f"{summary['reward']}, one step", "calls", lambda row: row["reward_one_step"]),
        *((f"guard {name}", "calls", lambda row, name=name: row["guards"].get(name, np.nan)) for name in guards),
        ("diversity, as a share of the untuned", "calls", lambda row: row["diversity"] / untuned["diversity"]),
    ]
    columns = 3
    figure, axes = pyplot.subplots(
        -(-len(panels) // columns), columns, figsize=(13, 3.6 * -(-len(panels) // columns)), layout="constrained"
    )
    names = list(dict.fromkeys(row["method"] for row in summary["results"]))
    methods = [name for name in names if ":" not in name or ":backbone=" in name] or names  # others would hide them
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (title, over, value) in zip(axes.flat, panels, strict=False):
        for number, method in enumerate(methods):
            rows = [row for row in summary["results"] if row["method"] == method]
            _curve(axis, rows, untuned, over, value, color=f"C{number}", label=method)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("reward calls" if over == "calls" else "minutes")
        axis.grid(alpha=0.3)
    if summary["c"] is not None:
        for axis in axes.flat[:2]:
            axis.axhline(summary["c"], color="gray", linestyle=":", linewidth=1, label="c, real images through the autoencoder")
            axis.update_datalim([(0, summary["c"])])  # axhline alone leaves a line on the frame
            axis.autoscale_view(scalex=False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _curve(
    axis: Any,  # noqa: ANN401 - matplotlib's
    rows: list[dict[str, Any]],
    untuned: dict[str, Any],
    over: str,
    value: Value,
    *,
    color: str,
    label: str,
) -> None:
    budgets = sorted({row["budget"] for row in rows})
    groups = [[untuned], *([row for row in rows if row["budget"] == budget] for budget in budgets)]
    measured = [[row for row in group if value(row) == value(row)] for group in groups]  # other runs may have had other guards
    groups = [group for group in measured if group]
    across = [float(np.mean([row[over] for row in group])) for group in groups]
    found = [[value(row) for row in group] for group in groups]
    axis.plot(across, [float(np.mean(part)) for part in found], marker="o", markersize=3, color=color, label=label)
    axis.fill_between(across, [min(part) for part in found], [max(part) for part in found], alpha=0.15, color=color)
