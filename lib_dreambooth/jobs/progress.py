"""How far a run is, from the end of its model's log: the same for a run here and one in another process."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from lib_dreambooth.runs.events import Event, Finished, Paused, Phase, Resumed, Started, Step
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import from_the_end

MOST_LOOKED_AT = 3000


@dataclass(frozen=True)
class Progress:
    """The newest of each kind of news; `sequence` is the number of the newest event."""

    sequence: int = 0
    phase: str = ""
    detail: str = ""
    done: int = 0
    total: int | None = None
    step: int = 0
    num_steps: int | None = None
    epoch: float = 0.0
    loss: float | None = None
    smoothed: float | None = None
    steps_per_second: float | None = None
    seconds_left: float | None = None
    is_paused: bool = False
    outcome: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return dict(self.__dict__)


def progress_of(folder: ModelFolder, after: int = 0) -> Progress:
    """How far the last run of a model is; events up to the number `after` are those of runs before."""
    newest: dict[type[Event], Event] = {}
    sequence = 0
    for event in islice(from_the_end(folder.events_path), MOST_LOOKED_AT):
        if event.sequence <= after:
            break
        sequence = max(sequence, event.sequence)
        newest.setdefault(type(event), event)
        if isinstance(event, (Started, Finished)) and sequence > event.sequence:
            break
    return progress_from(newest, sequence)


def progress_from(newest: dict[type[Event], Event], sequence: int) -> Progress:
    """Puts the newest event of each kind together."""
    phase, step, started = newest.get(Phase), newest.get(Step), newest.get(Started)
    paused, resumed, finished = newest.get(Paused), newest.get(Resumed), newest.get(Finished)
    values: dict[str, Any] = {"sequence": sequence}
    if isinstance(phase, Phase):
        values |= {"phase": phase.name, "detail": phase.detail, "done": phase.done, "total": phase.total}
    if isinstance(started, Started):
        values |= {"num_steps": started.num_steps, "step": started.first_step}
    if isinstance(step, Step):
        names = ("step", "epoch", "loss", "smoothed", "steps_per_second", "seconds_left")
        values |= {name: getattr(step, name) for name in names}
    if paused is not None:
        values["is_paused"] = resumed is None or paused.sequence > resumed.sequence
    if isinstance(finished, Finished) and finished.sequence == sequence:
        values |= {"outcome": finished.outcome, "step": finished.step, "is_paused": False}
    return Progress(**values)
