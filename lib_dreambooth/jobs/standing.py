"""How far the last run of a model came, from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.record import RunRecord, read_record
from lib_dreambooth.runs.events import DONE, Event, Finished, Started
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.kept_states import SavedState, all_states
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.files import load_text

Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True)
class Standing:
    """`state` is the newest one of the run by what it says of itself; nobody has looked whether it is whole.

    `outcome` is "" while the last start has no end: it is under way, or was killed. `ended_at` is its last
    step, `num_steps` how long it was to be.
    """

    record: RunRecord | None
    state: SavedState | None
    outcome: str = ""
    num_steps: int | None = None
    ended_at: int = 0

    @property
    def step(self) -> int:
        """How many steps are safe on the disk."""
        return self.state.step if self.state else 0

    @property
    def was_begun(self) -> bool:
        return self.record is not None or self.state is not None

    @property
    def is_unfinished(self) -> bool:
        """Whether there is work on the disk that a new run would leave behind."""
        return self.state is not None and self.outcome != DONE

    @property
    def has_rest(self) -> bool:
        """Whether steps are left of what the run was to be; a run that was stopped early has some."""
        return self.outcome != DONE or self.num_steps is None or self.ended_at < self.num_steps


def unfinished(folder: ModelFolder, standing: Standing, todo: str) -> UserError:
    """The sentence for a model whose last run a new one would leave behind."""
    of_all = f" of {standing.num_steps:,}" if standing.num_steps else ""
    return UserError(
        f"this model has an unfinished run, which is at step {standing.step:,}{of_all}.",
        where=folder.name,
        todo=todo,
        code="unfinished-run",
    )


def standing_of(folder: ModelFolder) -> Standing:
    """Where the last run of a model stands."""
    record = read_record(folder)
    states, _ = all_states(folder.states_dir)
    if record is not None:
        states = [state for state in states if state.lineage == record.lineage]
    events = read_events(folder.events_path)
    started = last_of(events, Started)
    # An end from before this start is that of another, or of the same run before it was gone on with.
    finished = last_of(
        [event for event in events if event.sequence > (record.after if record else 0)], Finished
    )
    return Standing(
        record,
        states[0] if states else None,
        finished.outcome if finished else "",
        started.num_steps if started else None,
        finished.step if finished else 0,
    )


def last_of(events: Sequence[Event], kind: type[Kind]) -> Kind | None:
    """The last event of a kind."""
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def settings_text(folder: ModelFolder, standing: Standing) -> str | None:
    """The settings that the last start was given; None where its copy is gone."""
    if standing.record is None:
        return None
    try:
        return load_text(folder.path / standing.record.settings)
    except UserError:
        return None
