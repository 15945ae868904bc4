"""Curves as SVG, drawn here so that the page needs no library and works without scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 214
LEFT, RIGHT, TOP, BOTTOM = 42, 18, 12, 34
MOST_POINTS = 160

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line of a chart. `dots` marks every point; `style` numbers its colour and dash."""

    name: str
    points: Sequence[Point]
    style: int = 0
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """What is drawn over what. `marks` are named places on the x axis; `diagonal` is the line where y is x."""

    key: str
    title: str
    said: str  # what it shows, in a sentence
    x_name: str
    series: Sequence[Series]
    marks: Sequence[tuple[float, str]] = ()
    diagonal: bool = False
    least: float | None = None  # the y axis reaches at least so far down
    most: float | None = None

    @property
    def words(self) -> str:
        """The chart for those who do not see it: where each line starts and ends."""
        parts = [f"{part.name} from {show(part.points[0][1])} to {show(part.points[-1][1])}" for part in self.series]
        return f"{self.title}, over {self.x_name}: {'; '.join(parts)}."

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Across and up."""
        xs = [x for part in self.series for x, _ in part.points]
        xs = [*xs, *([] if self.diagonal else [0.0])]
        ys = [y for part in self.series for _, y in part.points]
        if self.diagonal:
            xs = ys = [*xs, *ys]
        ys = [*ys, *(end for end in (self.least, self.most) if end is not None)]
        return Axis.around(xs, LEFT, WIDTH - RIGHT), Axis.around(ys, HEIGHT - BOTTOM, TOP, count=5)

    @property
    def points(self) -> dict[str, object]:
        """For the page's script: where every point lies, and what is said of it."""
        across, up = self.axes
        return {
            "x": self.x_name,
            "series": [
                {
                    "name": part.name,
                    "style": part.style,
                    "points": [[round(across(x), 1), round(up(y), 1), show(x), show(y)] for x, y in part.points],
                }
                for part in self.series
            ],
        }

    def svg(self) -> Markup:
        """The drawing."""
        across, up = self.axes
        parts = [*_grid(across, up, self.x_name), *_marks(across, self.marks)]
        if self.diagonal:
            ends = [(end, end) for end in (max(across.low, up.low), min(across.high, up.high))]
            parts.append(f'<path class="diagonal" d="{_path(ends, across, up)}"/>')
        for part in self.series:
            parts.append(f'<path class="line s{part.style}" d="{_path(part.points, across, up)}"/>')
            if part.dots:
                dots = (f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>' for x, y in part.points)
                parts.append(f'<g class="dots s{part.style}">{"".join(dots)}</g>')
        return Markup('<svg viewBox="0 0 {} {}" role="img" tabindex="0" aria-label="{}">{}</svg>').format(
            WIDTH,
            HEIGHT,
            self.words,
            Markup("".join(parts)),  # noqa: S704 - numbers, and texts that `_text` has escaped
        )


@dataclass(frozen=True)
class Axis:
    """Values `low` to `high` on pixels `start` to `stop`, with round ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Sequence[float], start: float, stop: float, count: int = 4) -> Axis:
        """One that holds all values between round numbers."""
        low, high = min(values), max(values)
        if high - low < 1e-9 * max(1.0, abs(high)):
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        step = _round_step((high - low) / count)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(number * step for number in range(first, last + 1))
        return cls(ticks[0], ticks[-1], start, stop, ticks)

    def __call__(self, value: float) -> float:
        """Where a value lies, in pixels."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def _round_step(rough: float) -> float:
    size = 10 ** math.floor(math.log10(rough))
    return next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points: the mean of each stretch of equally many."""
    if len(points) <= most:
        return list(points)
    size = len(points) / most
    parts = [points[round(number * size) : round((number + 1) * size)] for number in range(most)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts if part]


def show(value: float) -> str:
    """A number as short as it can be read."""
    if abs(value) >= 1000 or (value == round(value) and abs(value) >= 2):
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _path(points: Sequence[Point], across: Axis, up: Axis) -> str:
    return "M" + "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in points)


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _grid(across: Axis, up: Axis, x_name: str) -> list[str]:
    parts = []
    for value in up.ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text("y", LEFT - 7, up(value) + 3.5, _tick(value, up)))
    parts += [_text("x", across(value), HEIGHT - BOTTOM + 15, _tick(value, across)) for value in across.ticks]
    return [*parts, _text("x name", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_name)]


def _tick(value: float, axis: Axis) -> str:
    step = axis.ticks[1] - axis.ticks[0]
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    if round(step, places) != round(step, places + 1):
        places += 1
    return f"{value if abs(value) > 1e-12 else 0:,.{places}f}"


def _marks(across: Axis, marks: Sequence[tuple[float, str]]) -> list[str]:
    parts = []
    for place, name in marks:
        x = across(place)
        side = "end" if x > (LEFT + WIDTH) / 2 else "start"
        parts.append(f'<path class="mark" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(f"mark {side}", x - 5 if side == "end" else x + 5, HEIGHT - BOTTOM - 7, name))
    return parts


def interval_bar(before: float | None, value: float, low: float, high: float, *, least: float, most: float) -> Markup:
    """A small drawing for a table's row: where a value was, where it is, and its interval, between `least` and `most`."""
    scale = Axis(least, most, 8, 172, ())
    places = {name: f"{scale(min(max(at, least), most)):.1f}" for name, at in (("low", low), ("high", high), ("value", value))}
    parts = ['<path class="track" d="M8 10H172"/>']
    if before is not None:
        parts.append(f'<path class="way" d="M{scale(before):.1f} 10H{places["value"]}"/>')
    parts.append(f'<path class="interval" d="M{places["low"]} 10H{places["high"]}"/>')
    if before is not None:
        parts.append(f'<circle class="before" cx="{scale(before):.1f}" cy="10" r="4"/>')
    parts.append(f'<circle class="after" cx="{places["value"]}" cy="10" r="4.5"/>')
    return Markup(f'<svg class="bar" viewBox="0 0 180 20" aria-hidden="true">{"".join(parts)}</svg>')  # noqa: S704 - numbers
