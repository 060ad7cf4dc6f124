"""A run under way: what it is told, and what it tells."""

from __future__ import annotations

from typing import Any

import msgspec

from lib_dreambooth.api.calls import Answer, Body, Call, Query, Route
from lib_dreambooth.api.streaming import stream
from lib_dreambooth.api.tables.models import model_of
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.progress import progress_of
from lib_dreambooth.runs.commands import KINDS, MakeFiles
from lib_dreambooth.runs.events import to_json
from lib_dreambooth.runs.reading import read_events

# What the command line calls them beside their own names.
SHORT = {
    "save": "save-now",
    "sample": "sample-now",
    "cancel": "stop-after-step",
    "finish-epoch": "stop-at-epoch-end",
    "discard": "stop-without-saving",
}
MOST_EVENTS = 20_000


class Told(Body, frozen=True, kw_only=True):
    """pause, go-on, save, sample, make-files (files of the kinds in `makes`, after the step), cancel (after
    the step, saves), finish-epoch, discard (saves nothing)."""

    command: str
    makes: list[str] = msgspec.field(default_factory=list)


class Taken(Answer, frozen=True, kw_only=True):
    """The command as the run knows it."""

    model: str
    command: str


class Events(Answer, frozen=True, kw_only=True):
    """Events in their order; `last` is the number to ask from next time."""

    events: list[dict[str, Any]]
    last: int


SINCE = Query("since", "only events with a number above this", 0)


def tell(call: Call) -> dict[str, Any]:
    body: Told = call.body
    name = SHORT.get(body.command, body.command)
    kind = KINDS.get(name)
    if kind is None:
        raise UserError(
            f'there is no command "{body.command[:40]}".',
            where="command",
            todo=f"There are: pause, go-on, make-files, {', '.join(SHORT)}.",
            code="unknown-command",
        )
    folder = model_of(call)
    call.site.worker.tell(folder, MakeFiles(files=file_kinds(body.makes)) if kind is MakeFiles else kind())
    return {"model": folder.name, "command": name}


def file_kinds(told: list[str]) -> tuple[str, ...]:
    """Kinds of files for use; raises UserError for others."""
    from lib_dreambooth.jobs.orders import require_files

    require_files(told)
    return tuple(told)


def events(call: Call) -> dict[str, Any]:
    since = int(call.query["since"])
    limit = min(int(call.query["limit"]) or MOST_EVENTS, MOST_EVENTS)
    found = read_events(model_of(call).events_path, since)[:limit]
    return {"events": [to_json(event) for event in found], "last": found[-1].sequence if found else since}


def progress(call: Call) -> dict[str, Any]:
    return progress_of(model_of(call)).to_json()


def streamed(call: Call) -> Any:
    since = call.last_event if call.last_event.isdecimal() else call.query["since"]
    return stream(model_of(call), int(since))


ROUTES = (
    Route("POST", "/models/{model}/commands", "Tell the run of a model something", tell, Taken, Told),
    Route("GET", "/models/{model}/progress", "How far the last run is", progress),
    Route(
        "GET",
        "/models/{model}/events",
        "What the runs of a model told",
        events,
        Events,
        query=(SINCE, Query("limit", f"at most so many, {MOST_EVENTS} for 0", 0)),
    ),
    Route(
        "GET",
        "/models/{model}/events/stream",
        "The same as it happens: server-sent events with their numbers as ids",
        streamed,
        "events",
        query=(SINCE,),
    ),
)
