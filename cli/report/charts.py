"""Which curves a run has: the true reward and what promises it, what is watched, and how the surrogate was trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cli.report.curves import Chart, Point, Series, thinned
from cli.report.gather import Run

CALLS, STEPS = "reward calls of tuning", "training steps"
Value = Callable[[dict[str, Any]], Any]


def tuning_charts(run: Run) -> list[Chart]:
    """Over the reward calls that tuning and its validations took."""
    records = run.phase("finetune")
    if not records:
        return []
    best = _best(run, records)
    promised = next((name for name in ("surrogate_z2", "surrogate_z1") if any(name in record for record in records)), None)
    reward = [
        _series("true reward, held out", records, "validation_reward", 0, dots=True),
        _series("surrogate, training", records, promised, 1) if promised else None,
        _series("true reward, fresh samples", records, "fresh_reward", 2),
        _series("true reward, training", records, "batch_reward", 1),
    ]
    guards = list(dict.fromkeys(name for record in records for name in record.get("guards", {})))
    watched = [
        _series(name, records, lambda record, name=name: record.get("guards", {}).get(name), number, dots=True)
        for number, name in enumerate(guards)
    ]
    charts = [
        ("reward", "True reward", "Where the surrogate rises and the true reward does not follow, it is being fooled.", reward),
        ("guards", "Guards", "Rewards never trained on. A fall beside a rising reward is the sign of cheating.", watched),
        (
            "diversity",
            "Diversity",
            "How different the pictures of one prompt are. A fall means that they become alike.",
            [_series("distance within a prompt", records, "diversity", 3, dots=True)],
        ),
        (
            "accuracy",
            "Accuracy on fresh samples",
            "How often the surrogate orders new pairs rightly, as the generator drifts; .5 is a coin.",
            [_series("pairs in the right order", records, "fresh_accuracy", 1)],
        ),
        (
            "distance",
            "Distance to the frozen generator",
            "How far samples have moved, and the band that the trust region holds them in.",
            [_series("distance", records, "distance", 0), _series("band", records, "band", 4)],
        ),
    ]
    ends = {"diversity": {"least": 0.0}, "accuracy": {"least": 0.5, "most": 1.0}, "distance": {"least": 0.0}}
    drawn = ((key, title, said, [part for part in series if part]) for key, title, said, series in charts)
    return [Chart(key, title, said, CALLS, series, best, **ends.get(key, {})) for key, title, said, series in drawn if series]


def distill_charts(run: Run) -> list[Chart]:
    """Over the steps that trained the surrogate."""
    records = run.phase("distill")
    if not records:
        return []

    def over_steps(name: str, key: str, style: int, *, dots: bool = False) -> Series | None:
        points = [(float(record["step"]), float(record[key])) for record in records if _is_number(record.get(key))]
        return Series(name, thinned(points), style, dots) if len(points) > 1 else None

    kept = run.fidelity.get("distillation", run.fidelity).get("step")
    marks = ((float(kept), "kept"),) if kept else ()
    held_out = [
        over_steps("pairs in the right order", "accuracy", 0, dots=True),
        over_steps("Spearman", "spearman", 1, dots=True),
    ]
    charts = [
        ("held-out", "Agreement while training", "On held-out prompts; training stops when it no longer grows.", held_out),
        ("loss", "Training loss", "Of the surrogate, on its labels.", [over_steps("loss", "loss", 4)]),
    ]
    drawn = ((key, title, said, [part for part in series if part]) for key, title, said, series in charts)
    return [Chart(key, title, said, STEPS, series, marks) for key, title, said, series in drawn if series]


def calibration_chart(fidelity: dict[str, Any], drift: dict[str, Any]) -> Chart | None:
    """What the surrogate predicts against what the reward says, bin by bin; on the tuned generator's samples too."""
    found = [("held-out samples", fidelity, 0), ("samples of the tuned generator", drift, 1)]
    series = [
        Series(name, [(part["predicted"], part["true"]) for part in data["calibration"]], style, dots=True)
        for name, data, style in found
        if data.get("calibration")
    ]
    said = "Points on the line keep their promise; below it, the surrogate promises more than the reward gives."
    return Chart("calibration", "Calibration", said, "the surrogate predicts", series, diagonal=True) if series else None


def rival_chart(runs: Sequence[Run]) -> Chart | None:
    """The held-out reward of several runs over the calls they spent."""
    series = [_series(run.name, run.phase("finetune"), "validation_reward", style, dots=True) for style, run in enumerate(runs)]
    drawn = [part for part in series if part]
    said = "On each run's own validation prompts. Reward calls are the price that matters."
    return Chart("rivals", "True reward, held out", said, CALLS, drawn) if drawn else None


def _best(run: Run, records: list[dict[str, Any]]) -> tuple[tuple[float, str], ...]:
    """Where the checkpoint lies that was kept."""
    step = run.summary.get("best_step") or records[-1].get("best_step")
    return tuple((_calls(record), "best") for record in records if record["step"] == step)


def _calls(record: dict[str, Any]) -> float:
    return float(record.get("reward_calls", 0) + record.get("validation_calls", 0))


def _series(
    name: str, records: list[dict[str, Any]], value: str | Value | None, style: int, *, dots: bool = False
) -> Series | None:
    """A line over reward calls; steps that cost none stand together as their mean."""
    of = value if callable(value) else lambda record: record.get(value)
    points = list(_means((_calls(record), float(of(record))) for record in records if _is_number(of(record))))
    return Series(name, points if dots else thinned(points), style, dots) if len(points) > 1 else None


def _means(points: Iterator[Point]) -> Iterator[Point]:
    grouped: dict[float, list[float]] = {}
    for x, y in points:
        grouped.setdefault(x, []).append(y)
    return ((x, sum(ys) / len(ys)) for x, ys in grouped.items())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and value == value
