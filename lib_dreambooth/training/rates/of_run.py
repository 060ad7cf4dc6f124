"""The rates of a run: its schedule, its parts with their windows, and the curve to draw before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lib_dreambooth.adapters.words import WORDS
from lib_dreambooth.base.durations import Duration
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.settings.contradictions import rate_pieces
from lib_dreambooth.settings.fields import value_at
from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.meaning import rate_of, rate_scale, trained_parts
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.rates.schedules import Schedule, factor, rising_steps

# The settings' name of each part of a model.
SECTION_OF_PART = {UNET: "unet", TEXT: "text_encoder_1", TEXT_2: "text_encoder_2", WORDS: "words"}
PART_OF_SECTION = {section: part for part, section in SECTION_OF_PART.items()}
# Timescale of an inverse square root where neither a warm-up nor an end says one.
ENDLESS_TIMESCALE = 1000
NUM_POINTS = 500


@dataclass(frozen=True)
class PartRate:
    """The rate of a part: whole, and from which step to which it moves. `stop` None: to the end."""

    rate: float
    start: int = 0
    stop: int | None = None

    def is_active(self, step: int) -> bool:
        """Whether the part moves at a step."""
        return self.start <= step and (self.stop is None or step < self.stop)

    def has_stopped(self, step: int) -> bool:
        """Whether the part will not move again."""
        return self.stop is not None and step >= self.stop


@dataclass(frozen=True)
class Rates:
    """The rate of every part at every step."""

    schedule: Schedule
    parts: Mapping[str, PartRate]

    def at(self, part: str, step: int) -> float:
        """The rate that a part's step is taken with; 0 outside its window."""
        found = self.parts[part]
        return found.rate * factor(self.schedule, step) if found.is_active(step) else 0.0


def rates_of(run: Run, plan: LengthPlan, processes: int = 1, parts: tuple[str, ...] = ()) -> Rates:
    """The rates of a run, of all its trained parts or of `parts`.

    "Scale Learning Rate" is a factor on what is returned here; what the settings say stays as it is.
    """
    scale = rate_scale(run, processes)
    names = parts or tuple(PART_OF_SECTION[section] for section in trained_parts(run))
    return Rates(schedule_of(run, plan), {part: part_rate(run, plan, part, scale) for part in names})


def part_rate(run: Run, plan: LengthPlan, part: str, scale: float = 1.0) -> PartRate:
    """The rate and window of one part."""
    section = SECTION_OF_PART[part]
    start: Duration = value_at(run, f"parts.{section}.start")
    stop: Duration = value_at(run, f"parts.{section}.stop")
    first = plan.steps_of(start) or 0
    last = plan.steps_of(stop)
    is_whole = stop == Duration(100, "percent")
    return PartRate(rate_of(run, section) * scale, first, None if is_whole else last)


def schedule_of(run: Run, plan: LengthPlan) -> Schedule:
    """The schedule that the settings name, its lengths in steps of this run."""
    rates = run.rates
    warmup = plan.steps_of(rates.warmup) or 0
    if plan.total_steps is not None:
        # The whole rate is reached at least once.
        warmup = min(warmup, plan.total_steps - 1)
    return Schedule(
        name=rates.schedule,
        num_steps=plan.total_steps,
        warmup=warmup,
        restarts=rates.restarts,
        power=rates.power,
        timescale=timescale_of(run, plan, warmup),
        decay=plan.steps_of(rates.decay) or 0,
        floor=rates.floor,
        pieces=tuple(rate_pieces(rates.pieces)) if rates.schedule == "piecewise_constant" else ((1.0, None),),
    )


def timescale_of(run: Run, plan: LengthPlan, warmup: int) -> int:
    """After how many steps an inverse square root has fallen to 0.7."""
    if not run.rates.timescale.is_word:
        return max(1, plan.steps_of(run.rates.timescale) or 1)
    twentieth = ENDLESS_TIMESCALE if plan.total_steps is None else plan.total_steps // 20
    return warmup or max(1, twentieth)


def curve(
    run: Run, plan: LengthPlan, num_steps: int | None = None, processes: int = 1, points: int = NUM_POINTS
) -> dict[str, list[tuple[int, float]]]:
    """The (step, rate) points of every trained part, for drawing.

    At most about `points` of them, the first and last step and every corner among them. `num_steps` says how
    far to draw a run without an end.
    """
    rates = rates_of(run, plan, processes)
    count = plan.total_steps or num_steps
    assert count, "a run without an end needs a number of steps to draw"
    return {
        part: [(step, rates.at(part, step)) for step in drawn_steps(rates, part, count, points)]
        for part in rates.parts
    }


def drawn_steps(rates: Rates, part: str, count: int, points: int) -> list[int]:
    """The steps that show the shape, or all: evenly spread to the peak and after it, both sides of a jump."""
    if count <= points:
        return list(range(count))
    schedule, window = rates.schedule, rates.parts[part]
    peak = min(rising_steps(schedule), count - 1)
    # A warm-up is a straight line.
    before = points // 2 if schedule.name == "one_cycle" else 2
    spread = {*spread_steps(0, peak, before), *spread_steps(peak, count - 1, max(2, points - before))}
    jumps = {schedule.warmup, window.start, count if window.stop is None else window.stop}
    jumps |= {end for _, end in schedule.pieces if end is not None}
    if schedule.name == "cosine_with_restarts":
        falling = count - schedule.warmup
        cycles = min(schedule.restarts, falling, points)
        jumps |= {schedule.warmup + number * falling // cycles for number in range(cycles)}
    if schedule.name == "warmup_stable_decay":
        jumps.add(count - schedule.decay)
    if schedule.name == "inverse_sqrt":
        # Steep at first, flat for ever after.
        jumps |= {schedule.warmup + (1 << power) for power in range(count.bit_length())}
    sides = {step for jump in jumps for step in (jump - 1, jump)}
    return sorted(step for step in spread | sides if 0 <= step < count)


def spread_steps(first: int, last: int, points: int) -> list[int]:
    """About `points` steps at even distances, both ends among them."""
    gaps = max(1, points - 1)
    return [first + round(number * (last - first) / gaps) for number in range(gaps + 1)]
