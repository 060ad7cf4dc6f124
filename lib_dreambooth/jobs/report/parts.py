"""The log of a model cut into its starts, and the starts that make up one run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lib_dreambooth.runs.events import (
    Event,
    Finished,
    Paused,
    Phase,
    Resumed,
    Saved,
    Started,
    Step,
    Warned,
)

Kind = TypeVar("Kind", bound=Event)
STATE = "state"


@dataclass(frozen=True)
class Part:
    """What was told between one start and its end; an end is missing where the process was killed."""

    events: tuple[Event, ...]

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def started(self) -> Started | None:
        """None where it ended before the first step was due."""
        return next(iter(self.of(Started)), None)

    @property
    def finished(self) -> Finished | None:
        return next(iter(self.of(Finished)), None)

    @property
    def first_step(self) -> int:
        return self.started.first_step if self.started else 0

    @property
    def last_step(self) -> int:
        """The furthest step that it tells of."""
        told = [event.step for event in self.events if isinstance(event, Step | Saved | Finished)]
        return max(told, default=self.first_step)

    @property
    def seconds(self) -> float:
        """How long it had the card; for a part without an end what its events' times say."""
        return self.finished.seconds if self.finished else sum(_spans(self.events))

    @property
    def seconds_paused(self) -> float:
        return sum(event.seconds_paused for event in self.of(Resumed))

    def has_state_of(self, step: int) -> bool:
        """Whether it tells of a state that was written at a step."""
        return any(event.what == STATE and event.step == step for event in self.of(Saved))


def _spans(events: Sequence[Event]) -> Iterator[float]:
    """Seconds between neighbours from the start on, without pauses and clocks that were set back."""
    has_started = False
    for before, after in itertools.pairwise(events):
        has_started = has_started or isinstance(before, Started)
        if has_started and not isinstance(before, Paused):
            yield max(0.0, after.time - before.time)


def cut(events: Sequence[Event]) -> list[Part]:
    """All parts, in order. What precedes a start (reading, scanning) belongs to it."""
    parts: list[list[Event]] = [[]]
    for event in events:
        if isinstance(event, Started) and any(isinstance(one, Started) for one in parts[-1]):
            # The one before was killed; its end has to be guessed.
            parts.append(_taken_tail(parts[-1]))
        parts[-1].append(event)
        if isinstance(event, Finished):
            parts.append([])
    return [Part(tuple(one)) for one in parts if one]


def _taken_tail(events: list[Event]) -> list[Event]:
    """Takes preparations off the end of the list and gives them."""
    count = 0
    while count < len(events) and isinstance(events[-1 - count], Phase | Warned):
        count += 1
    tail = events[len(events) - count :]
    del events[len(events) - count :]
    return tail


def lineage_of(parts: Sequence[Part], run_id: str = "") -> list[Part]:
    """The parts that lead to a start (the last one if none is named), the first of them first.

    A start that went on from a state follows the part that wrote this state. Attempts that never came to a
    start have no id: those in between and behind belong to it too, and an id that nothing has is that of the
    last attempt. Empty where there is none.
    """
    numbers = [number for number, part in enumerate(parts) if part.started]
    if run_id:
        numbers = [number for number in numbers if _id_of(parts[number]) == run_id]
    if not numbers:
        return [part for part in parts[-1:] if part.started is None]
    last = numbers[-1]
    behind = itertools.takewhile(lambda part: part.started is None, parts[last + 1 :])
    found = [parts[last], *behind]
    while found[0].first_step > 0:
        before = _origin(parts[:last], found[0])
        if before is None:
            break
        attempts = [part for part in parts[before + 1 : last] if part.started is None]
        found = [parts[before], *attempts, *found]
        last = before
    return found


def _id_of(part: Part) -> str:
    return part.started.run_id if part.started else ""


def _origin(earlier: Sequence[Part], part: Part) -> int | None:
    """The number of the part that a start went on from."""
    candidates = [number for number in reversed(range(len(earlier))) if earlier[number].started]
    wrote = [number for number in candidates if earlier[number].has_state_of(part.first_step)]
    # A kill may fall between a state and the line that tells of it.
    reached = [number for number in candidates if earlier[number].last_step >= part.first_step]
    return next(iter([*wrote, *reached]), None)
