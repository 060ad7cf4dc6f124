"""A chart as SVG: no script, no font, nothing from elsewhere; its colours follow the reader's scheme."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lib_dreambooth.jobs.report.document import Chart, Line
from lib_dreambooth.jobs.report.words import number

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 34, 30
# Places along the axis that a line of many points is thinned to; each keeps its lowest and highest.
PLACES = 500
# Outliers of the faint lines beyond this share do not stretch the axis.
KEPT_SHARE = 0.98
Y_TICKS, X_TICKS = 5, 8
COLOURS = 6

STYLE = """
svg.chart { --ink: #333; --grid: #d8d8d8; --mark: #888; font: 12px system-ui, sans-serif; }
svg.chart { --c0: #1868c4; --c1: #c4560c; --c2: #18804a; --c3: #8c3fb4; --c4: #b3261e; --c5: #5a6675; }
@media (prefers-color-scheme: dark) {
svg.chart { --ink: #ccc; --grid: #444; --mark: #999; }
svg.chart { --c0: #6cb0ff; --c1: #ffa05c; --c2: #66d49a; --c3: #cf9cf0; --c4: #ff8a80; --c5: #b0bac8; } }
svg.chart text { fill: var(--ink); }
svg.chart .grid { stroke: var(--grid); } svg.chart .mark { stroke: var(--mark); stroke-dasharray: 3 3; }
svg.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg.chart .faint { stroke-width: 1; stroke-opacity: .45; }
svg.chart .c0 { stroke: var(--c0); } svg.chart .c1 { stroke: var(--c1); stroke-dasharray: 7 3; }
svg.chart .c2 { stroke: var(--c2); stroke-dasharray: 2 2; } svg.chart .c3 { stroke: var(--c3); }
svg.chart .c4 { stroke: var(--c4); stroke-dasharray: 7 3; }
svg.chart .c5 { stroke: var(--c5); stroke-dasharray: 2 2; }
"""


@dataclass(frozen=True)
class Axes:
    """From steps and values to places in the picture."""

    last: int
    low: float
    high: float

    def x(self, step: float) -> float:
        return LEFT + step / self.last * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def drawn(chart: Chart, *, alone: bool = False) -> str:
    """The chart; `alone` as a file of its own, else to stand in a page that has STYLE."""
    axes = axes_of(chart)
    title = html.escape(chart.title)
    # Names of clips are shared by everything in a page.
    clip = f"clip-{html.escape(chart.name)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>" if alone else "",
        f'<clipPath id="{clip}"><rect x="{LEFT}" y="{TOP - 2}" width="{WIDTH - LEFT - RIGHT + 2}" '
        f'height="{HEIGHT - TOP - BOTTOM + 4}"/></clipPath>',
        *_grid(axes),
        *_marks(chart, axes),
        f'<g clip-path="url(#{clip})">',
        *_lines(chart, axes),
        "</g>",
        *_legend(chart),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def axes_of(chart: Chart) -> Axes:
    """Axes that hold every line, but for the wildest values of the faint ones."""
    values = [value for line in chart.lines for value in _weighty(line)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if chart.from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    bottom = low if chart.from_zero and low == 0 else low - room
    return Axes(max(chart.last_step, 1), bottom, high + room)


def _weighty(line: Line) -> list[float]:
    values = sorted(value for _, value in line.points if math.isfinite(value))
    if not line.is_faint or len(values) < 50:
        return values
    cut = round(len(values) * (1 - KEPT_SHARE) / 2)
    return values[cut : len(values) - cut]


def ticks(low: float, high: float, most: int, least_gap: float = 0.0) -> list[float]:
    """Round numbers inside a range: multiples of 1, 2 or 5."""
    gap = max((high - low) / most, least_gap)
    power = 10.0 ** math.floor(math.log10(gap))
    gap = next(power * times for times in (1, 2, 5, 10) if power * times >= gap * 0.999)
    first = math.ceil(low / gap - 1e-9)
    return [count * gap for count in range(first, math.floor(high / gap + 1e-9) + 1)]


def _grid(axes: Axes) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value in ticks(axes.low, axes.high, Y_TICKS):
        y = axes.y(value)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        text = number(round(value, 12) + 0.0)
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for step in ticks(0, axes.last, X_TICKS, least_gap=1):
        x = axes.x(step)
        yield f'<line class="grid" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{round(step):,}</text>'


def _marks(chart: Chart, axes: Axes) -> Iterator[str]:
    for step in chart.marks:
        if step <= axes.last:
            x = axes.x(step)
            yield (
                f'<line class="mark" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}">'
                f"<title>gone on with after step {step:,}</title></line>"
            )


def _lines(chart: Chart, axes: Axes) -> Iterator[str]:
    for line, kind in zip(chart.lines, _classes(chart.lines), strict=True):
        for stretch in stretches(thinned(line.points)):
            if len(stretch) == 1:
                step, value = stretch[0]
                yield f'<path class="{kind}" d="M{axes.x(step) - 2:.1f} {axes.y(value):.1f}h4"/>'
                continue
            points = " ".join(f"{axes.x(step):.1f},{axes.y(value):.1f}" for step, value in stretch)
            yield f'<polyline class="{kind}" points="{points}"/>'


def _classes(lines: Sequence[Line]) -> list[str]:
    """A faint line has the colour of the one that smooths it, which is the next."""
    found, colour = [], 0
    for line in lines:
        found.append(f"line c{colour % COLOURS}{' faint' if line.is_faint else ''}")
        colour += not line.is_faint
    return found


def _legend(chart: Chart) -> Iterator[str]:
    x = float(LEFT)
    for line, kind in zip(chart.lines, _classes(chart.lines), strict=True):
        yield f'<path class="{kind}" d="M{x:.0f} 16h26"/>'
        yield f'<text x="{x + 32:.0f}" y="20">{html.escape(line.name)}</text>'
        # About the width of these letters; East Asian ones are twice as wide.
        x += 32 + sum(13 if ord(letter) > 0x2E80 else 7 for letter in line.name) + 24


def stretches(points: Sequence[tuple[int, float]]) -> Iterator[list[tuple[int, float]]]:
    """The points between those that are no number."""
    found: list[tuple[int, float]] = []
    for step, value in points:
        if math.isfinite(value):
            found.append((step, value))
        elif found:
            yield found
            found = []
    if found:
        yield found


def thinned(points: Sequence[tuple[int, float]], places: int = PLACES) -> list[tuple[int, float]]:
    """Few enough points to draw, with every peak and gap still in them."""
    if len(points) <= 2 * places:
        return list(points)
    found: list[tuple[int, float]] = []
    for place in range(places):
        group = points[place * len(points) // places : (place + 1) * len(points) // places]
        low = min(group, key=lambda point: _ordered(point[1], math.inf))
        high = max(group, key=lambda point: _ordered(point[1], -math.inf))
        found += sorted({low, high, points[0]} if place == 0 else {low, high})
    if found[-1] != points[-1]:
        found.append(points[-1])
    return found


def _ordered(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise
