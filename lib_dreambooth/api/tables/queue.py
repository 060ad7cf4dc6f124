"""The queue: what waits, what is asked for, what stopped in a crash."""

from __future__ import annotations

from typing import Any

import msgspec

from lib_dreambooth.api.calls import Answer, Body, Call, Route
from lib_dreambooth.api.settings_in import accepted, refuse_closed
from lib_dreambooth.api.tables.models import base_path, model_of
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.entries import ENDED, RESUME, RUNNING, TRAIN, Entry, shown

# How far the rates of a run without an end are drawn.
DRAWN_STEPS = 2000
FILES = "files"


class Queued(Answer, frozen=True, kw_only=True):
    """An entry; `is_held` waits for somebody to begin it, `is_here` belongs to this process."""

    id: str
    model: str
    action: str
    changes: dict[str, Any]
    more_steps: int
    makes: list[str]
    status: str
    outcome: str
    step: int
    num_steps: int | None
    run_id: str
    problem: dict[str, Any] | None
    added: str
    began: str
    ended: str
    is_held: bool
    is_here: bool


class Line(Answer, frozen=True, kw_only=True):
    """Everything in its order; `stops`: what waits is held back when the current run has ended."""

    entries: list[Queued]
    stops: bool


class Planned(Answer, frozen=True, kw_only=True):
    """What a run would do, in a line and in numbers; `files` are those for use, `findings` about pictures.

    `rates` are the curves of the learning rates, by part.
    """

    line: str
    total_steps: int | None
    steps_per_epoch: int
    pictures: int
    repeats: int | None
    new_class_pictures: int
    saves: list[int] | None
    previews: list[int] | None
    counts: dict[str, int]
    files: list[str]
    family: str
    disk: str
    disk_bytes: int
    disk_is_enough: bool
    findings: list[dict[str, Any]]
    rates: dict[str, list[tuple[int, float]]]


class Forecasted(Answer, frozen=True, kw_only=True):
    """What a run would need; bytes and seconds. `memory` says of what: "cuda", "mps" or "cpu".

    `room` is what a run would find on the card, null where there is none; `fits` null where nobody knows.
    `phases` have bytes by part, `offers` changes of what is learned with which it would fit, `previews` the
    size that fits (null: as set) and whether they are decoded in stripes.
    """

    memory: str
    peak: int
    largest_phase: str
    factor: float
    host: int
    seconds: float | None
    seconds_per_step: float | None
    checkpointing: str
    fused_backward: bool
    optimizer_state: str
    pieces: int
    phases: dict[str, dict[str, Any]]
    rests_on: list[str]
    room: int | None
    fits: bool | None
    offers: list[dict[str, Any]]
    previews: dict[str, Any]


class Ordered(Answer, frozen=True, kw_only=True):
    """The entry, and what its run would do; null where that depends on the run before it."""

    entry: Queued
    plan: Planned | None


class Order(Body, frozen=True, kw_only=True):
    """A run of a model. `action` train: a new one with `settings` (the model is made where there is none,
    from `base` or the settings' base); resume: the rest of the last one, or `more_steps`, with `changes`;
    files: no step, only files of the kinds in `makes` from the newest state.

    `over` starts over where an unfinished run is in the way. `starts` off leaves it waiting.
    """

    model: str
    action: str = TRAIN
    settings: dict[str, Any] | str = msgspec.field(default_factory=dict)
    changes: dict[str, Any] = msgspec.field(default_factory=dict)
    base: str = ""
    more_steps: int = 0
    makes: list[str] = msgspec.field(default_factory=list)
    over: bool = False
    starts: bool = True


class Asked(Body, frozen=True, kw_only=True):
    """A run that is only thought of; the model need not be there."""

    model: str = "new model"
    settings: dict[str, Any] | str = msgspec.field(default_factory=dict)
    changes: dict[str, Any] = msgspec.field(default_factory=dict)
    base: str = ""


class Foretold(Asked, frozen=True, kw_only=True):
    """The same, to be forecast.

    `offers`: where it does not fit, with what would: that takes as long again.
    """

    offers: bool = True


class Place(Body, frozen=True, kw_only=True):
    """A place among those that wait, from 0."""

    to: int


class Changed(Body, frozen=True, kw_only=True):
    """Values by path that the copy has in place of its model's; `over` starts over where an unfinished run of
    the model is in the way."""

    changes: dict[str, Any] = msgspec.field(default_factory=dict)
    over: bool = False
    starts: bool = True


class Switch(Body, frozen=True, kw_only=True):
    """On or off."""

    on: bool = True


class Which(Body, frozen=True, kw_only=True):
    """An entry by its id, or all that are held back."""

    id: str = ""


class Stopped(Answer, frozen=True, kw_only=True):
    """A run that broke off: when and at what it last was, and what is saved."""

    model: str
    run_id: str
    time: float
    doing: str
    step: int
    num_steps: int | None
    state_step: int | None
    files: list[str]
    why: str
    last_warning: str
    sentence: str


class Nothing(Body, frozen=True, kw_only=True):
    """Nothing needs to be said."""


def line(call: Call) -> dict[str, Any]:
    found = call.site.worker.queue.line()
    return {"entries": [shown(entry) for entry in found.entries], "stops": found.stops}


def plan(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.orders import plan_new

    body: Asked = call.body
    sourced = accepted(call.host, body.settings, with_base(call, body.changes, body.base))
    return plan_shown(plan_new(call.host, body.model, sourced))


def forecast(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.memory import forecast_of
    from lib_dreambooth.jobs.orders import plan_new

    body: Foretold = call.body
    sourced = accepted(call.host, body.settings, with_base(call, body.changes, body.base))
    found = plan_new(call.host, body.model, sourced)
    # Nothing is measured on a card that is at work.
    is_idle = not any(one.status == RUNNING for one in call.site.worker.queue.line().entries)
    return forecast_of(found, measures=is_idle, offering=body.offers).to_json()


def add(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import orders

    body: Order = call.body
    host = call.host
    waits = is_wanted(call, body.model)
    if body.action == TRAIN:
        sourced = accepted(host, body.settings, with_base(call, body.changes, body.base))
        order = orders.order_new(host, body.model, sourced, over=body.over, waits=waits)
    elif body.action == RESUME:
        refuse_closed(host, body.changes)
        if body.more_steps < 0:
            raise UserError("is not a number of steps.", where="more_steps", todo="Give 0 or more.")
        order = orders.order_rest(host, body.model, body.changes, body.more_steps, waits=waits)
    elif body.action == FILES:
        order = orders.order_files(host, body.model, body.makes)
    else:
        raise unknown_action(body.action)
    entry = begin(call, order.entry, body.starts)
    planned = plan_shown(order.plan) if order.plan is not None else None
    return {"entry": shown(entry), "plan": planned}


def begin(call: Call, entry: Entry, starts: bool) -> Entry:
    """Queues an entry, held back unless it is to start by itself."""
    import dataclasses

    worker = call.site.worker
    return worker.add(entry) if starts else worker.queue.add(dataclasses.replace(entry, owner=None))


def unknown_action(action: str) -> UserError:
    """The sentence for an action that is none."""
    return UserError(
        f'there is no action "{action[:40]}".', where="action", todo=f"There are: {TRAIN}, {RESUME}, {FILES}."
    )


def with_base(call: Call, changes: dict[str, Any], base: str) -> dict[str, Any]:
    """Changes with the base that was chosen beside the settings."""
    return {**changes, "model.base": str(base_path(call, base))} if base else changes


def plan_shown(found: Any) -> dict[str, Any]:
    """A plan for pages and programs."""
    from lib_dreambooth.settings.length import plan_line
    from lib_dreambooth.training.rates.of_run import curve

    run = found.run
    beside = run.class_pictures.relation == "beside"
    classes = 0 if beside else found.num_class_visits
    return {
        "line": plan_line(found.length, found.num_pictures, found.repeats, classes, beside),
        "total_steps": found.length.total_steps,
        "steps_per_epoch": found.length.epoch.steps,
        "pictures": found.num_pictures,
        "repeats": found.repeats,
        "new_class_pictures": found.new_class_pictures,
        "saves": list(found.outline.saves) if found.outline.saves is not None else None,
        "previews": list(found.outline.previews) if found.outline.previews is not None else None,
        "counts": dict(found.outline.files),
        "files": [path.name for path in found.files],
        "family": found.kind.family,
        "disk": found.disk.text(),
        "disk_bytes": found.disk.total,
        "disk_is_enough": found.disk.is_enough,
        "findings": [finding.to_json() for finding in found.findings],
        "rates": curve(run, found.length, DRAWN_STEPS),
    }


def move(call: Call) -> dict[str, Any]:
    call.site.worker.queue.move(call.parts["entry_id"], call.body.to)
    return line(call)


def duplicate(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.orders import changed_order, order_rest

    body: Changed = call.body
    queue = call.site.worker.queue
    entry = queue.entry(call.parts["entry_id"])
    if entry.action == TRAIN and not body.over:
        refuse_to_leave(call, entry.model)
    if entry.action == TRAIN and body.changes:
        accepted(call.host, entry.settings, body.changes)
    else:
        refuse_closed(call.host, body.changes)
    if entry.action == RESUME and body.changes:
        order_rest(call.host, entry.model, {**entry.changes, **body.changes}, entry.more_steps)
    made = queue.duplicate(entry.id, lambda one: held(changed_order(one, body.changes)))
    if body.starts:
        call.site.worker.release(made.id)
    return shown(queue.entry(made.id))


def refuse_to_leave(call: Call, model: str) -> None:
    """Raises UserError where a new run of a model would leave an unfinished one behind."""
    from lib_dreambooth.jobs.orders import refuse_unfinished
    from lib_dreambooth.jobs.standing import standing_of
    from lib_dreambooth.runs.folder import ModelFolder

    folder = ModelFolder.find(call.host.paths.dreambooth, model)
    if folder is not None and not is_wanted(call, model):
        refuse_unfinished(folder, standing_of(folder))


def is_wanted(call: Call, model: str) -> bool:
    """Whether a run of this model waits or is under way."""
    return any(one.model == model and one.status != ENDED for one in call.site.worker.queue.line().entries)


def settings_of_entry(call: Call) -> dict[str, Any]:
    from lib_dreambooth.api.settings_in import tables
    from lib_dreambooth.jobs.orders import settings_of

    return tables(settings_of(call.host, call.site.worker.queue.entry(call.parts["entry_id"])).run)


def held(entry: Entry) -> Entry:
    """The entry, waiting until somebody begins it."""
    import dataclasses

    return dataclasses.replace(entry, owner=None)


def remove(call: Call) -> dict[str, Any]:
    call.site.worker.queue.remove(call.parts["entry_id"])
    return line(call)


def stop_after(call: Call) -> dict[str, Any]:
    call.site.worker.queue.stop_after(call.body.on)
    return line(call)


def release(call: Call) -> dict[str, Any]:
    call.site.worker.release(call.body.id)
    return line(call)


def stopped(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.stopped import stopped_runs

    return [one.to_json() for one in stopped_runs(call.host.paths.dreambooth)]


def give_up(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import stopped as stops

    found = stops.give_up(model_of(call))
    if found is None:
        raise UserError(
            "no run of this model stopped without an end.",
            where=call.parts["model"],
            todo="Look at the list again.",
            code="nothing-stopped",
        )
    return found.to_json()


ROUTES = (
    Route("POST", "/plan", "What a run would do; writes nothing", plan, Planned, Asked),
    Route(
        "POST",
        "/forecast",
        "What a run would need of memory and time; takes a moment, reads no weights and writes nothing",
        forecast,
        Forecasted,
        Foretold,
    ),
    Route("GET", "/queue", "What waits, runs and has ended", line, Line),
    Route(
        "POST", "/queue", "Train: queue a run, with everything checked first", add, Ordered, Order, status=201
    ),
    Route("POST", "/queue/start", "Begin what was held back", release, Line, Which),
    Route("POST", "/queue/stop-after", "Stop after the current run", stop_after, Line, Switch),
    Route("POST", "/queue/{entry_id}/move", "Another place", move, Line, Place),
    Route(
        "POST",
        "/queue/{entry_id}/duplicate",
        "Once more, with changes",
        duplicate,
        Queued,
        Changed,
        status=201,
    ),
    Route("GET", "/queue/{entry_id}/settings", "The settings that a run was given", settings_of_entry),
    Route("DELETE", "/queue/{entry_id}", "Take out what waits or is over", remove, Line),
    Route("GET", "/stopped", "Runs that broke off in a crash", stopped, list[Stopped]),
    Route(
        "POST",
        "/stopped/{model}/discard",
        "Do not go on with it; states and files stay",
        give_up,
        Stopped,
        Nothing,
    ),
)
