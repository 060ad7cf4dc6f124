"""How much class pictures count in the course of a run."""

from __future__ import annotations

from collections.abc import Callable

from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.schema import ClassPictures


def class_weights(settings: ClassPictures, plan: LengthPlan) -> Callable[[int], float]:
    """The weight of class pictures at each step, counted from 0, for `data.feeding.feed`.

    It falls evenly from the first step on and has reached its minimum after the time that is set. A minimum
    above the weight changes nothing, nor does a part of a run without an end.
    """
    over = None if settings.fall.is_never else plan.steps_of(settings.fall)
    start, end = settings.weight, min(settings.weight, settings.weight_min)

    def weight(step: int) -> float:
        if not over:
            return start
        return start + (end - start) * min(1.0, step / over)

    return weight
