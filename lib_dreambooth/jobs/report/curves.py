"""Curves of a run over all of its parts, as charts and as a table."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.jobs.report.document import Chart, Line, Table
from lib_dreambooth.jobs.report.parts import Part
from lib_dreambooth.jobs.report.words import beginning, number
from lib_dreambooth.runs.events import Step, Validated
from lib_dreambooth.settings.fields import TITLES

# Rows of a table of curves.
MOST_ROWS = 13
# Below this all curves of a chart of norms look flat, and their change is shown instead.
FLAT = 0.2

# Parts of the model as events name them, and as the form does.
PARTS = {UNET: "parts.unet", TEXT: "parts.text_encoder_1", TEXT_2: "parts.text_encoder_2"}

Points = tuple[tuple[int, float], ...]


def steps_of(parts: Sequence[Part]) -> list[Step]:
    """One point per step: what was done again after an interruption counts as it was done last."""
    found: dict[int, Step] = {}
    for part in parts:
        found = {step: event for step, event in found.items() if step <= part.first_step}
        found |= {event.step: event for event in part.of(Step)}
    return [found[step] for step in sorted(found)]


def validations_of(parts: Sequence[Part]) -> list[Validated]:
    """The same for measured losses."""
    found: dict[int, Validated] = {}
    for part in parts:
        found = {step: event for step, event in found.items() if step <= part.first_step}
        found |= {event.step: event for event in part.of(Validated)}
    return [found[step] for step in sorted(found)]


def marks_of(parts: Sequence[Part]) -> tuple[int, ...]:
    """The steps at which the run was gone on with."""
    return tuple(dict.fromkeys(part.first_step for part in parts if part.first_step > 0))


def charts(steps: Sequence[Step], validations: Sequence[Validated], marks: tuple[int, ...]) -> list[Chart]:
    """Every chart that has something to show."""
    losses = (
        Line("each step that was told", one_line(steps, lambda step: step.loss), is_faint=True),
        Line("smoothed", one_line(steps, lambda step: step.smoothed)),
    )
    last = max([0, *(step.step for step in steps), *(one.step for one in validations)])
    norms, title = changes_of(lines(steps, lambda step: step.weight_norms))
    found = [
        Chart("loss", "Loss", losses, last, marks),
        Chart("validation", "Measured loss", lines(validations, lambda one: one.curves), last, marks),
        Chart("rates", "Learning rate", lines(steps, lambda step: step.rates), last, marks, from_zero=True),
        Chart(
            "gradient",
            "Gradient norm",
            (Line("before clipping", one_line(steps, lambda step: step.grad_norm)),),
            last,
            marks,
            from_zero=True,
        ),
        Chart("weights", title, norms, last, marks),
    ]
    kept = [replace(chart, lines=tuple(line for line in chart.lines if line.points)) for chart in found]
    return [chart for chart in kept if chart.lines]


def one_line(steps: Iterable[Step], value: Callable[[Step], float | None]) -> Points:
    """A value by step, where there is one."""
    return tuple((step.step, found) for step in steps if (found := value(step)) is not None)


def lines(events: Sequence[Step | Validated], values: Callable[..., Mapping[str, float]]) -> tuple[Line, ...]:
    """A line for every name that occurs."""
    names = dict.fromkeys(name for event in events for name in values(event))
    return tuple(
        Line(
            title_of(name),
            tuple((event.step, values(event)[name]) for event in events if name in values(event)),
        )
        for name in names
    )


def title_of(name: str) -> str:
    """A part as the form calls it, or the name of a curve."""
    return TITLES[PARTS[name]] if name in PARTS else visible_line(name)


def changes_of(norms: tuple[Line, ...]) -> tuple[tuple[Line, ...], str]:
    """Norms as they are, or their change in percent where they hardly move, as those of whole weights do."""
    values = [[value for _, value in line.points if math.isfinite(value)] for line in norms]
    is_flat = all(found and found[0] > 0 and max(found) - min(found) < FLAT * found[0] for found in values)
    if not norms or not is_flat:
        return norms, "Weight norm"
    return tuple(
        Line(line.name, tuple((step, 100 * (value / found[0] - 1)) for step, value in line.points))
        for line, found in zip(norms, values, strict=True)
    ), "Weight norm, change in %"


def table_of_steps(steps: Sequence[Step]) -> Table:
    """Some steps from the first to the last, with all that was told of them."""
    columns: list[tuple[str, Callable[[Step], float | None]]] = [
        ("Epoch", lambda step: round(step.epoch, 2)),
        ("Loss", lambda step: step.loss),
        ("Smoothed", lambda step: step.smoothed),
        ("Gradient norm", lambda step: step.grad_norm),
    ]
    for part in dict.fromkeys(name for step in steps for name in step.rates):
        columns.append((f"Rate, {title_of(part)}", functools.partial(_rate, part)))
    for part in dict.fromkeys(name for step in steps for name in step.weight_norms):
        columns.append((f"Norm, {title_of(part)}", functools.partial(_norm, part)))
    rows = tuple(
        (f"{step.step:,}", *(number(value(step)) for _, value in columns))
        for step in spread(steps, MOST_ROWS)
    )
    return Table(
        ("Step", *(name for name, _ in columns)),
        rows,
        frozenset(range(len(columns) + 1)),
        "Some of the steps",
    )


def _rate(part: str, step: Step) -> float | None:
    return step.rates.get(part)


def _norm(part: str, step: Step) -> float | None:
    return step.weight_norms.get(part)


def table_of_validations(validations: Sequence[Validated]) -> Table:
    """The measured losses."""
    names = list(dict.fromkeys(name for event in validations for name in event.curves))
    rows = tuple(
        (f"{event.step:,}", *(number(event.curves.get(name)) for name in names))
        for event in spread(validations, MOST_ROWS)
    )
    head = ("Step", *(beginning(title_of(name)) for name in names))
    return Table(head, rows, frozenset(range(len(head))), "Measured losses")


def spread(found: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly, the first and the last always."""
    if len(found) <= most:
        return list(found)
    places = [round(place * (len(found) - 1) / (most - 1)) for place in range(most)]
    return [found[place] for place in dict.fromkeys(places)]
