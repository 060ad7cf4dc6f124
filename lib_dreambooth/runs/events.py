"""What a run tells: the only thing that pages, logs, streams and reports read.

The loop makes events without a number; `log.EventLog` gives them one, and the time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs.plain import Unreadable, fields_from_plain, fields_to_plain

# How a run ends.
DONE, CANCELLED, FAILED, DISCARDED = "done", "cancelled", "failed", "discarded"


@dataclass(frozen=True, kw_only=True)
class Event:
    """`sequence` counts from 1 over all runs of a model; `time` is seconds since 1970, for people only.

    Clocks are set back and forth: order is by sequence, and lengths of time stand in events of their own.
    """

    sequence: int = 0
    time: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """A run begins, or goes on after `first_step` steps; `num_steps` is the total, None without an end."""

    run_id: str
    settings_digest: str = ""
    settings_file: str = ""  # the run's copy, below the model folder
    num_steps: int | None = None
    first_step: int = 0
    steps_per_epoch: int = 0
    device: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)  # whatever else people want to know


@dataclass(frozen=True, kw_only=True)
class Phase(Event):
    """What is done at the moment; `total` is None where nobody knows."""

    name: str
    done: int = 0
    total: int | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """One point of the curves, after `step` steps; memory in bytes by kind, rates and norms by part."""

    step: int
    epoch: float = 0.0
    loss: float
    smoothed: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    grad_norm: float | None = None
    steps_per_second: float | None = None
    seconds_left: float | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    weight_norms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """Losses with fixed noise, by the name of the curve."""

    step: int
    curves: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """Files that are now whole on the disk: `what` is a kind of `saving`, `reason` why it was due."""

    paths: tuple[str, ...]
    what: str
    step: int
    epoch: float = 0.0
    reason: str = ""
    num_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Sampled(Event):
    """Previews; `files`, `prompts`, `concepts` and `nearest` go together.

    `concepts` are the names of what each shows, `nearest` files with the training picture most like each.
    """

    files: tuple[str, ...]
    step: int
    prompts: tuple[str, ...] = ()
    epoch: float = 0.0
    concepts: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """The card is free until `Resumed`."""

    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """Training goes on after a pause of so many seconds."""

    step: int = 0
    seconds_paused: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something a user should know; the run goes on."""

    text: str
    where: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The end of a run: `seconds` is how long it had the card, pauses left out."""

    outcome: str
    step: int
    seconds: float = 0.0
    what: str = ""
    where: str = ""
    todo: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Unknown(Event):
    """An event of a newer version, kept as it was read."""

    kind: str
    data: Mapping[str, Any]


KINDS: dict[str, type[Event]] = {
    "started": Started,
    "phase": Phase,
    "step": Step,
    "validated": Validated,
    "saved": Saved,
    "sampled": Sampled,
    "paused": Paused,
    "resumed": Resumed,
    "warned": Warned,
    "finished": Finished,
}
KIND_OF = {kind: name for name, kind in KINDS.items()}


def kind_of(event: Event) -> str:
    """The event's name in JSON."""
    return event.kind if isinstance(event, Unknown) else KIND_OF[type(event)]


def to_json(event: Event) -> dict[str, Any]:
    """The one JSON form."""
    if isinstance(event, Unknown):
        return {**event.data, "sequence": event.sequence, "time": event.time}
    fields = fields_to_plain(event)
    head = {"kind": kind_of(event), "sequence": fields.pop("sequence"), "time": fields.pop("time")}
    return head | fields


def from_json(data: Mapping[str, Any]) -> Event:
    """The event that was written; raises ValueError for what is none."""
    kind, sequence, time = data.get("kind"), data.get("sequence"), data.get("time")
    if not isinstance(kind, str) or type(sequence) is not int or not isinstance(time, (int, float)):
        raise ValueError("not an event")
    known = KINDS.get(kind)
    if known is not None:
        try:
            return known(**fields_from_plain(known, data))
        except (Unreadable, TypeError):
            # A newer version may mean something else by this name.
            pass
    return Unknown(kind=kind, data=dict(data), sequence=sequence, time=float(time))


def to_line(event: Event) -> bytes:
    """The event as a line of events.jsonl."""
    text = json.dumps(to_json(event), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (text + "\n").encode("utf-8", errors="replace")


def from_line(line: bytes) -> Event | None:
    """The event in a line, None where the line is damaged."""
    try:
        data = json.loads(line.decode("utf-8"))
        return from_json(data) if isinstance(data, dict) else None
    except (ValueError, RecursionError):
        return None


def finished_with(error: UserError, step: int, seconds: float = 0.0) -> Finished:
    """The end of a run that a user can put right."""
    return Finished(
        outcome=FAILED,
        step=step,
        seconds=seconds,
        what=error.what,
        where=error.where,
        todo=error.todo,
        code=error.code,
    )
