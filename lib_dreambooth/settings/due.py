"""When something that happens every so often falls due."""

from __future__ import annotations

import math
from fractions import Fraction

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.length import LengthPlan

HALF = Fraction(1, 2)


def interval_steps(every: Duration, plan: LengthPlan) -> Fraction | None:
    """The exact steps between two times; None for minutes, words, or a share of an endless run."""
    if every.is_word or every.is_never or every.unit == "minutes":
        return None
    # Through its text, 0.1 is a tenth and not the nearest binary fraction.
    amount = Fraction(repr(every.amount))
    if every.unit == "epochs":
        return amount * plan.epoch.steps
    if every.unit == "percent":
        return None if plan.total_steps is None else amount * plan.total_steps / 100
    return amount


def times_due(every: Duration, step: int, plan: LengthPlan) -> int:
    """How often it has fallen due up to and including a step; each time at the nearest step, halves up."""
    interval = interval_steps(every, plan)
    if interval is None:
        return 0
    return max(0, math.ceil((step + HALF) / interval) - 1)


def is_due(every: Duration, step: int, plan: LengthPlan) -> bool:
    """Whether it falls due right after a step (the first step is 1)."""
    return times_due(every, step, plan) > times_due(every, step - 1, plan)


def due_steps(every: Duration, plan: LengthPlan, last: int | None = None) -> list[int]:
    """The steps after which it falls due, up to `last` (the end of the run if not given)."""
    end = plan.total_steps if last is None else last
    assert end is not None, "an endless run needs a last step"
    interval = interval_steps(every, plan)
    if interval is None:
        return []
    if interval <= 1:
        return list(range(1, end + 1))
    count = times_due(every, end, plan)
    return [math.floor(number * interval + HALF) for number in range(1, count + 1)]
