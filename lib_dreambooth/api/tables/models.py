"""What there is: this program, the host's checkpoints, the model folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_dreambooth import __version__
from lib_dreambooth.api import settings_in
from lib_dreambooth.api.calls import Answer, Body, Call, Route
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.entries import WAITING, shown
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import holder_of


class About(Answer, frozen=True, kw_only=True):
    """Version, host and language; `may_name_folders` is off where places on this machine cannot be named."""

    version: str
    host: str
    language: str
    may_name_folders: bool


class Status(Answer, frozen=True, kw_only=True):
    """`job` is the entry under way here, `progress` how far it is; `host_is` what the host does."""

    job: dict[str, Any] | None
    progress: dict[str, Any] | None
    waiting: int
    held: int
    stops: bool
    host_is: str


class Base(Answer, frozen=True, kw_only=True):
    """A checkpoint of the host; `name` is its path below the host's folder, `is_chosen`: it draws with it."""

    id: str
    name: str
    path: str
    num_bytes: int
    is_chosen: bool


class Standing(Answer, frozen=True, kw_only=True):
    """How far the last run came: `step` is the newest state's, `outcome` empty while it has no end."""

    was_begun: bool
    is_unfinished: bool
    has_rest: bool
    outcome: str
    step: int
    ended_at: int
    num_steps: int | None


class Model(Answer, frozen=True, kw_only=True):
    """A model folder; `in_use` says whether a run is under way there, in any process."""

    name: str
    family: str
    created: str
    base: str
    base_sha256: str
    is_base_there: bool
    in_use: bool
    in_use_here: bool
    standing: Standing


class Removed(Answer, frozen=True, kw_only=True):
    """The model that is gone."""

    name: str


class NewModel(Body, frozen=True, kw_only=True):
    """A name, and what it is trained from: an id of the list of bases, or a path where that is allowed."""

    name: str
    base: str


class HubName(Body, frozen=True, kw_only=True):
    """A model of the Hugging Face hub: `owner/name`, a file behind it, or its address. The hub is asked;
    nothing is fetched unless `may_download` is set."""

    name: str
    may_download: bool = False


class HubModel(Answer, frozen=True, kw_only=True):
    """What would be fetched, and where it goes; `task` fetches it, where that was asked for."""

    id: str
    num_bytes: int
    num_files: int
    path: str
    is_there: bool
    task: dict[str, Any] | None


def about(call: Call) -> dict[str, Any]:
    host = call.host
    return {
        "version": __version__,
        "host": host.name,
        "language": host.language,
        "may_name_folders": host.settings.may_name_folders,
    }


def status(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.progress import progress_of

    worker = call.site.worker
    entry, line = worker.current, worker.queue.line()
    progress = None
    if entry is not None:
        progress = progress_of(ModelFolder(call.host.paths.dreambooth / entry.model)).to_json()
    return {
        "job": shown(entry) if entry is not None else None,
        "progress": progress,
        "waiting": sum(one.status == WAITING and not one.is_held for one in line.entries),
        "held": sum(one.is_held for one in line.entries),
        "stops": line.stops,
        "host_is": call.host.busy(),
    }


def bases(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.bases import bases_of

    chosen = call.host.settings.checkpoint
    return [{**base.to_json(), "is_chosen": str(base.path) == chosen} for base in bases_of(call.host.paths)]


def fetch_base(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import hub
    from lib_dreambooth.jobs.orders import results_of

    body: HubName = call.body
    if not call.host.settings.may_name_folders:
        raise UserError(
            "whoever comes in from outside may not fetch models.",
            where="name",
            todo="Do it on the machine itself.",
            code="not-allowed",
        )
    found = hub.look(body.name, results_of(call.host.paths))
    task = None
    if body.may_download and not found.is_there:
        task = call.site.worker.tasks.start(
            "fetch-base", found.id, lambda watching: hub.fetch(found, watching.tell)
        ).to_json()
    return {**found.to_json(), "task": task}


def models(call: Call) -> list[dict[str, Any]]:
    return [described(folder) for folder in ModelFolder.all_below(call.host.paths.dreambooth)]


def model(call: Call) -> dict[str, Any]:
    return described(model_of(call))


def create(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.orders import create_model

    body: NewModel = call.body
    return described(create_model(call.host.paths, body.name, base_path(call, body.base)))


def remove(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.removing import remove_model

    folder = model_of(call)
    remove_model(folder, call.site.worker.queue)
    return {"name": folder.name}


def base_path(call: Call, told: str) -> Path:
    """The checkpoint that is meant by an id, or by a path."""
    from lib_dreambooth.jobs.bases import bases_of
    from lib_dreambooth.jobs.hub import is_written_as_hub

    known = bases_of(call.host.paths)
    found = next((base.path for base in known if told in (base.id, str(base.path))), None)
    if found is not None:
        return found
    if not told.strip():
        what, todo = "it does not say what the model is trained from.", "Choose a checkpoint."
        raise UserError(what, where="base", todo=todo, code="missing-setting")
    if is_written_as_hub(told):
        raise UserError(
            "is not on this machine; it may be on the Hugging Face hub.",
            where=told.strip()[:80],
            todo="Have it downloaded, or choose another checkpoint.",
            code="hub-name",
        )
    path = Path(told.strip())
    settings_in.require_allowed(call.host, path, "base")
    return path


def model_of(call: Call) -> ModelFolder:
    """The model that the path of a call names; raises UserError."""
    from lib_dreambooth.jobs.orders import require_model

    return require_model(call.host.paths.dreambooth, call.parts["model"])


def described(folder: ModelFolder) -> dict[str, Any]:
    """A model as it stands."""
    from lib_dreambooth.jobs.standing import standing_of

    card, standing, holder = folder.card(), standing_of(folder), holder_of(folder.path)
    return {
        "name": folder.name,
        "family": card.family,
        "created": card.created,
        "base": card.base.path,
        "base_sha256": card.base.sha256,
        "is_base_there": Path(card.base.path).exists(),
        "in_use": holder is not None,
        "in_use_here": holder is not None and holder.is_this_process,
        "standing": {
            "was_begun": standing.was_begun,
            "is_unfinished": standing.is_unfinished,
            "has_rest": standing.has_rest,
            "outcome": standing.outcome,
            "step": standing.step,
            "ended_at": standing.ended_at,
            "num_steps": standing.num_steps,
        },
    }


ROUTES = (
    Route("GET", "/about", "What answers here", about, About),
    Route("GET", "/status", "What is under way, and how far it is", status, Status),
    Route("GET", "/bases", "The checkpoints that the host lists", bases, list[Base]),
    Route("POST", "/bases/fetch", "Look at or fetch a model of the hub", fetch_base, HubModel, HubName),
    Route("GET", "/models", "All models", models, list[Model]),
    Route(
        "POST", "/models", "Make a model: a folder that knows its base", create, Model, NewModel, status=201
    ),
    Route("GET", "/models/{model}", "One model", model, Model),
    Route(
        "DELETE",
        "/models/{model}",
        "Remove a model: states, previews, logs; results where the host lists them stay",
        remove,
        Removed,
    ),
)
