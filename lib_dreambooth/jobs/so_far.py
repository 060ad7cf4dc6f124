"""The last run of a model in as few events as draw it again: for a page that was closed meanwhile."""

from __future__ import annotations

from lib_dreambooth.runs.events import Event, Phase, Started, Step, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import read_events

MOST_STEPS = 1500


def run_so_far(folder: ModelFolder, most_steps: int = MOST_STEPS) -> tuple[list[Event], int]:
    """Its events, of steps and phases only as many as can be seen, and the number of the newest of all."""
    events = read_events(folder.events_path)
    last = events[-1].sequence if events else 0
    return thinned(of_last_run(events), most_steps), last


def of_last_run(events: list[Event]) -> list[Event]:
    """From the first start of the last run on, and what was done before it, such as reading."""
    starts = [number for number, event in enumerate(events) if isinstance(event, Started)]
    if not starts:
        return events
    last = events[starts[-1]]
    assert isinstance(last, Started)
    first = next(number for number in starts if getattr(events[number], "run_id", "") == last.run_id)
    while first > 0 and isinstance(events[first - 1], (Phase, Warned)):
        first -= 1
    return events[first:]


def thinned(events: list[Event], most_steps: int) -> list[Event]:
    """The same without steps and phases that nobody could tell apart; the newest of each stays."""
    steps = [event for event in events if isinstance(event, Step)]
    every = -(-len(steps) // most_steps) if steps else 1
    kept = {event.sequence for event in steps[::every]} | {event.sequence for event in steps[-1:]}
    phases = [event.sequence for event in events if isinstance(event, Phase)]
    kept.update(phases[-1:])
    return [event for event in events if not isinstance(event, (Step, Phase)) or event.sequence in kept]
