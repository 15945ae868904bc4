"""`lasro bench`: run what is missing of a benchmark, show what is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import print_json, print_table
from finetune.errors import ConfigError
from finetune.methods import METHODS
from reward_zoo.errors import LasroError, did_you_mean
from reward_zoo.terminal import note

if TYPE_CHECKING:
    from cli.bench_app import SignsSettings


def signs(settings: SignsSettings) -> None:
    """Every method on the embedded generator at equal reward calls."""
    names = [name.strip() for name in settings.methods.split(",") if name.strip()]
    for name in names:
        method, *own = name.split(":")
        if method not in METHODS:
            raise ConfigError(f"--methods {name}: no such method; {did_you_mean(method, METHODS)}")
        if not all("=" in setting for setting in own):
            raise ConfigError(f"--methods {name}: write NAME:SETTING=VALUE")
    from cli.bench.plots import save_curves
    from cli.bench.signs import BUDGETS, SignsBench, budgets_of, summarise, variant
    from finetune.guards import load_guards
    from finetune.methods import load_method
    from surrogate.config import DistillConfig

    for name in names:
        try:
            load_method(variant(name).method, variant(name).options)
            DistillConfig(**variant(name).labels)
        except LasroError as error:
            raise ConfigError(f"--methods {name}: {error}") from error
    reward, budget, out = settings.reward, settings.budget, settings.out
    if budget < BUDGETS[0]:
        raise ConfigError(f"--budget {budget}: the smallest that is measured is {BUDGETS[0]}")
    guards = [] if settings.show else list(load_guards(settings.guards, reward))
    bench = SignsBench(reward=reward, guards=guards, folder=out, device=settings.device, rates_from=settings.rates_from)
    bench.check_folder(empty=not settings.show)
    if settings.rates_from and not settings.show:  # one that is not there is better known before hours of work than after
        for name in names:
            bench.learning_rate(variant(name).method)
    bench.untuned()
    for seed in range(0 if settings.show else settings.seeds):
        for name in names:
            note(f"{name}, seed {seed}")
            bench.run(name, seed, budgets_of(name, budget))
    summary = summarise(bench)
    save_curves(summary, out / "curves.png")
    if settings.json:
        print_json(summary)
    else:
        print_table(HEAD, table(summary))


HEAD = (
    "method",
    "calls",
    "seeds",
    "reward",
    "95 % interval",
    "gap closed",
    "one step",
    "training prompts",
    "guards",
    "diversity",
)


def table(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each method and budget: means over seeds; gains of guards and training prompts as shares of the reward's."""
    from cli.bench.rows import mean_interval

    b, c, untuned = summary["b"], summary["c"], summary["untuned"]
    keys = list(dict.fromkeys((row["method"], row["budget"]) for row in summary["results"]))
    rows = [("untuned", "0", "", f"{b:.3f}", "", "", f"{untuned['reward_one_step']:.3f}", "", "", "1.00")]
    for method, budget in sorted(keys, key=lambda key: (key[1], key[0])):
        found = [row for row in summary["results"] if (row["method"], row["budget"]) == (method, budget)]
        reward, low, high = mean_interval([row["reward"] for row in found])
        mean = {
            name: sum(row[name] for row in found) / len(found)
            for name in ("reward_one_step", "reward_training_prompts", "diversity")
        }
        guards = {
            name: sum(scores) / len(scores) - before
            for name, before in untuned["guards"].items()
            if (scores := [row["guards"][name] for row in found if name in row["guards"]])  # other runs may have had others
        }
        rows.append(
            (
                method,
                f"{budget:,}",
                str(len(found)),
                f"{reward:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{(reward - b) / (c - b):.0%}" if c else "",
                f"{mean['reward_one_step']:.3f}",
                f"{mean['reward_training_prompts']:.3f}",
                ", ".join(f"{name} {gain:+.3f}" for name, gain in guards.items()),
                f"{mean['diversity'] / untuned['diversity']:.2f}",
            )
        )
    return rows


def analysis(*, out: Path, device: str, as_json: bool) -> None:
    """Why two steps are hard."""
    from cli.bench.analysis import run_analysis, save_plot

    rows = run_analysis(out, device)
    save_plot(rows, out / "analysis.png")
    if as_json:
        print_json(rows)
        return
    names = list(rows[0])
    print_table(names, [[_cell(row, name) for name in names] for row in rows])


def _cell(row: dict[str, Any], name: str) -> str:
    if row[name] is None:  # the gradient's noise alone may be missing
        return "no likelihood" if row["likelihood_share"] == 0 else "lost in its own noise"
    return f"{row[name]:.4g}"
