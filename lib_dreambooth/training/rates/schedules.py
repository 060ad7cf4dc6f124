"""Schedules as pure functions of the step: the factor on the rate that a step is taken with.

Steps count from 0 and are optimizer steps. Warm-up takes the first `warmup` steps: step n of it is taken
with (n + 1) / (warmup + 1), so that the first one moves something and the step right after the warm-up is the
first with the whole rate. What falls, falls over the steps from there to the last, which is taken with
`floor` exactly. Where nothing is left to fall over (a single step), the rate is whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# Where one cycle begins, as a part of its peak, and how much of the run it rises for (as torch's).
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_RISE = 0.3


@dataclass(frozen=True)
class Schedule:
    """A schedule with all its lengths in steps; `num_steps` is None for a run without an end."""

    name: str
    num_steps: int | None
    warmup: int = 0
    restarts: int = 1
    power: float = 1.0
    timescale: int = 1
    decay: int = 0
    floor: float = 0.0
    pieces: tuple[tuple[float, int | None], ...] = ((1.0, None),)


def factor(schedule: Schedule, step: int) -> float:
    """What the rate is multiplied by at a step; past the end it stays as at the last one."""
    assert step >= 0
    if schedule.num_steps is not None:
        step = min(step, schedule.num_steps - 1)
    if schedule.name == "one_cycle":
        return one_cycle(schedule, step)
    rise = min(1.0, (step + 1) / (schedule.warmup + 1))
    if schedule.name == "piecewise_constant":
        return rise * piece(schedule, step)
    if step < schedule.warmup or schedule.name == "constant":
        return rise
    return AFTER_WARMUP[schedule.name](schedule, step - schedule.warmup)


def progress(index: int, count: int) -> float:
    """How far step `index` of `count` is: 0 at the first, 1 at the last."""
    return index / (count - 1) if count > 1 else 0.0


def above_floor(schedule: Schedule, share: float) -> float:
    """`share` of the way from the floor to the whole rate."""
    return schedule.floor + (1.0 - schedule.floor) * share


def half_cosine(position: float) -> float:
    """Falls from 1 at 0 to 0 at 1 along a cosine."""
    # cos(pi) is exact and cos(pi / 2) is not; the ends are what matters.
    return (1.0 + math.cos(math.pi * position)) / 2.0


def falling_steps(schedule: Schedule) -> int:
    """The steps after the warm-up."""
    assert schedule.num_steps is not None, f"{schedule.name} needs an end"
    return schedule.num_steps - schedule.warmup


def linear(schedule: Schedule, index: int) -> float:
    return above_floor(schedule, 1.0 - progress(index, falling_steps(schedule)))


def cosine(schedule: Schedule, index: int) -> float:
    return above_floor(schedule, half_cosine(progress(index, falling_steps(schedule))))


def cosine_with_restarts(schedule: Schedule, index: int) -> float:
    """Every cycle starts at the whole rate and ends at the floor; their lengths differ by a step at most."""
    count = falling_steps(schedule)
    cycles = min(schedule.restarts, count)
    number = ((index + 1) * cycles - 1) // count
    first, after = number * count // cycles, (number + 1) * count // cycles
    return above_floor(schedule, half_cosine(progress(index - first, after - first)))


def polynomial(schedule: Schedule, index: int) -> float:
    return above_floor(schedule, (1.0 - progress(index, falling_steps(schedule))) ** schedule.power)


def inverse_sqrt(schedule: Schedule, index: int) -> float:
    """Falls to 0.7 after the timescale and never ends; the floor is where it stops falling."""
    return max(schedule.floor, math.sqrt(schedule.timescale / (schedule.timescale + index)))


def warmup_stable_decay(schedule: Schedule, index: int) -> float:
    """Whole until the last `decay` steps, which fall along a cosine."""
    count = falling_steps(schedule)
    decay = min(schedule.decay, count)
    into = index - (count - decay) + 1
    return above_floor(schedule, half_cosine(into / decay)) if into > 0 else 1.0


def rex(schedule: Schedule, index: int) -> float:
    """Slowly at first, fast at the end (Chen, Wolfe and Kyrillidis 2021, profile of equation 1)."""
    left = 1.0 - progress(index, falling_steps(schedule))
    return above_floor(schedule, left / (0.5 + 0.5 * left))


def one_cycle(schedule: Schedule, step: int) -> float:
    """Rises along a cosine, then falls to the floor."""
    count, rise = schedule.num_steps, rising_steps(schedule)
    assert count is not None, "one_cycle needs an end"
    if step < rise:
        return ONE_CYCLE_START + (1.0 - ONE_CYCLE_START) * (1.0 - half_cosine(step / rise))
    return above_floor(schedule, half_cosine(progress(step - rise, count - rise)))


def rising_steps(schedule: Schedule) -> int:
    """The steps before the first with the whole rate: the warm-up, or 30 % of one cycle without one.

    A rise of its own choosing leaves a step to fall in; a warm-up to the last step is the user's.
    """
    count = schedule.num_steps
    if schedule.name != "one_cycle" or count is None:
        return schedule.warmup
    return min(schedule.warmup, count - 1) or min(round(count * ONE_CYCLE_RISE), max(count - 2, 0))


def piece(schedule: Schedule, step: int) -> float:
    """The factor of the piece that a step lies in; a piece lasts up to its step, that step left out."""
    return next(value for value, end in schedule.pieces if end is None or step < end)


AFTER_WARMUP: dict[str, Callable[[Schedule, int], float]] = {
    "linear": linear,
    "cosine": cosine,
    "cosine_with_restarts": cosine_with_restarts,
    "polynomial": polynomial,
    "inverse_sqrt": inverse_sqrt,
    "warmup_stable_decay": warmup_stable_decay,
    "rex": rex,
}
