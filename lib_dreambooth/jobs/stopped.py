"""Runs that have no end: the program or the computer went away under them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lib_dreambooth.jobs.record import RunRecord, read_record
from lib_dreambooth.jobs.standing import standing_of
from lib_dreambooth.runs.events import DISCARDED, Event, Finished, Phase, Saved, Step, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import Holder, held, holder_of, read_holder
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.runs.processes import start_of
from lib_dreambooth.runs.reading import from_the_end, last_event

GIVEN_UP = "given-up"
# A log line is about 300 bytes: a run that tells every step for days has this many.
MOST_LOOKED_AT = 200_000
STATE = "state"


@dataclass(frozen=True)
class Stopped:
    """A run that broke off: when it last told something, what it was doing, and what is on the disk.

    `step` is the last one told of, `state_step` the one that it can go on from (None: only from the start).
    `why` is empty where nobody knows.
    """

    model: str
    run_id: str
    time: float
    doing: str
    step: int
    num_steps: int | None
    state_step: int | None
    files: tuple[str, ...]
    why: str
    last_warning: str

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return {**self.__dict__, "files": list(self.files), "sentence": self.sentence()}

    def sentence(self) -> str:
        """What happened, in a line."""
        of_all = f" of {self.num_steps:,}" if self.num_steps else ""
        why = f" {self.why}" if self.why else ""
        saved = (
            f"It can go on after step {self.state_step:,}."
            if self.state_step is not None
            else "No state was saved yet: it can begin again."
        )
        doing = f" while {self.doing}" if self.doing else ""
        return f"{self.model} stopped{doing}, at step {self.step:,}{of_all}.{why} {saved}"


def stopped_runs(models_root: Path) -> list[Stopped]:
    """Every run below a folder of models that began, has no end, and is under way nowhere."""
    found = [stopped_run(folder) for folder in ModelFolder.all_below(models_root)]
    return sorted([one for one in found if one is not None], key=lambda one: -one.time)


def stopped_run(folder: ModelFolder) -> Stopped | None:
    """The last run of a model, if it has no end and is not under way."""
    # Most models end well: their last line says so.
    if isinstance(last_event(folder.events_path), Finished) or holder_of(folder.path) is not None:
        return None
    return broken_off(folder)


def broken_off(folder: ModelFolder, left: Holder | None = None) -> Stopped | None:
    """The last run of a model, if it has no end; whether it is under way is the caller's to know."""
    record = read_record(folder)
    told = told_by(folder, record) if record is not None else []
    if record is None or any(isinstance(event, Finished) for event in told):
        return None
    standing = standing_of(folder)
    steps = [event.step for event in told if isinstance(event, Step)]
    warning = next((event for event in told if isinstance(event, Warned)), None)
    return Stopped(
        model=folder.name,
        run_id=record.id,
        time=told[0].time if told else 0.0,
        doing=next((event.name for event in told if isinstance(event, Phase)), ""),
        step=max([*steps[:1], standing.step]),
        num_steps=standing.num_steps,
        state_step=standing.step if standing.state else None,
        files=tuple(
            Path(path).name
            for event in reversed(told)
            if isinstance(event, Saved) and event.what != STATE
            for path in event.paths
        ),
        why=why_gone(left or read_holder(folder.path)),
        last_warning=warning.text if warning else "",
    )


def told_by(folder: ModelFolder, record: RunRecord) -> list[Event]:
    """What the last start of a run told, newest first."""
    found = []
    for event in islice(from_the_end(folder.events_path), MOST_LOOKED_AT):
        if event.sequence <= record.after:
            break
        found.append(event)
    return found


def why_gone(left: Holder | None) -> str:
    """Why a process never gave its folder back, as far as its note tells."""
    if left is None:
        return ""
    if not left.is_here:
        return f"It ran on {left.host}."
    boot, now = boot_of(left.process_start), boot_of(start_of(os.getpid()))
    if boot and now and boot != now:
        return "The computer was started anew since."
    return "Its program was closed, killed, or crashed."


def give_up(folder: ModelFolder) -> Stopped | None:
    """Notes that a run that broke off is not to be gone on with; its states and files stay.

    Raises UserError where the model is in use. Gives None where nothing had stopped.
    """
    with held(folder.path, "giving up a run") as left:
        found = broken_off(folder, left)
        if found is not None:
            with EventLog(folder.events_path) as events:
                events.emit(
                    Finished(
                        outcome=DISCARDED,
                        step=found.state_step or 0,
                        what="the run stopped without an end and was given up.",
                        code=GIVEN_UP,
                    )
                )
    return found


def boot_of(process_start: str) -> str:
    """Which start of the computer a process belongs to, where its note says so (on Linux)."""
    boot, mark, _ = process_start.partition(":")
    return boot if mark and " " not in boot else ""
