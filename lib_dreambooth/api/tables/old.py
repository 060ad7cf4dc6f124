"""The routes of sd_dreambooth_extension that scripts still call, answered by the new ones.

What changed something on GET there is a POST here; the answer says so.
"""

from __future__ import annotations

from typing import Any

from lib_dreambooth.api.calls import Body, Call, Query, Route
from lib_dreambooth.api.tables import models, settings
from lib_dreambooth.api.tables.queue import begin
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs.folder import ModelFolder


class Named(Body, frozen=True, kw_only=True):
    """A model by its name."""

    model_name: str = ""


class Creating(Body, frozen=True, kw_only=True):
    """A name and a checkpoint that the host lists."""

    new_model_name: str = ""
    new_model_src: str = ""


MODEL_NAME = Query("model_name", "the name of a model", "")


def list_models(call: Call) -> list[str]:
    return [folder.name for folder in ModelFolder.all_below(call.host.paths.dreambooth)]


def list_checkpoints(call: Call) -> list[str]:
    return [base["name"] for base in models.bases(call)]


def status(call: Call) -> dict[str, Any]:
    found = models.status(call)
    progress = found["progress"] or {}
    return {
        "active": found["job"] is not None,
        "current_model": found["job"]["model"] if found["job"] else "",
        "job_no": progress.get("step", 0),
        "job_count": progress.get("num_steps") or 0,
        "textinfo": progress.get("phase", ""),
        "loss": progress.get("loss"),
        "paused": progress.get("is_paused", False),
        "seconds_left": progress.get("seconds_left"),
    }


def create(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.orders import create_model

    body: Creating = call.body
    wanted = body.new_model_src
    base = next((one["path"] for one in models.bases(call) if wanted in (one["name"], one["id"])), wanted)
    folder = create_model(call.host.paths, body.new_model_name, models.base_path(call, base))
    return {"message": f"{folder.name} was created.", "model": folder.name}


def start(call: Call) -> dict[str, Any]:
    """The rest of an unfinished run, else a new one with the model's settings."""
    from lib_dreambooth.jobs import orders
    from lib_dreambooth.jobs.standing import standing_of
    from lib_dreambooth.settings.files import load_text

    folder = folder_of(call, call.body.model_name)
    if standing_of(folder).is_unfinished:
        order = orders.order_rest(call.host, folder.name, {})
    else:
        text = load_text(folder.settings_path)
        order = orders.order_new(call.host, folder.name, settings.accepted(call.host, text))
    entry = begin(call, order.entry, True)
    return {"message": "Training started.", "job": entry.id, "model": folder.name}


def cancel(call: Call) -> dict[str, Any]:
    from lib_dreambooth.runs.commands import StopAfterStep

    entry = call.site.worker.current
    name = call.body.model_name or (entry.model if entry is not None else "")
    if not name:
        raise UserError("nothing is running.", todo="Start it first.", code="not-running")
    call.site.worker.tell(folder_of(call, name), StopAfterStep())
    return {"message": "Training is cancelled after this step.", "model": name}


def cancel_on_get(call: Call) -> dict[str, Any]:
    raise UserError(
        "this changes something, and a link or a picture on any page could ask for it.",
        where="GET /dreambooth/cancel",
        todo="Send POST /dreambooth/cancel.",
        code="wrong-method",
    )


def config(call: Call) -> dict[str, Any]:
    folder = folder_of(call, str(call.query["model_name"]))
    inner = Call(call.site, {"model": folder.name})
    return {"model_name": folder.name, **settings.of_model(inner)}


def concepts(call: Call) -> Any:
    return config(call)["concepts"]


def folder_of(call: Call, name: str) -> ModelFolder:
    """The model of a name; raises UserError."""
    from lib_dreambooth.jobs.orders import require_model

    return require_model(call.host.paths.dreambooth, name)


ROUTES = (
    Route("GET", "/models", "Old: names of models", list_models, list[str]),
    Route("GET", "/checkpoints", "Old: names of checkpoints", list_checkpoints, list[str]),
    Route("GET", "/status", "Old: what is under way", status),
    Route("GET", "/model_config", "Old: settings of a model", config, query=(MODEL_NAME,)),
    Route(
        "GET", "/concepts", "Old: concepts of a model", concepts, list[dict[str, Any]], query=(MODEL_NAME,)
    ),
    Route("POST", "/createModel", "Old: make a model", create, body=Creating, takes_anything=True),
    Route("POST", "/start_training", "Old: train", start, body=Named, takes_anything=True),
    Route("POST", "/cancel", "Old: cancel", cancel, body=Named, takes_anything=True),
    Route("GET", "/cancel", "Old: says that this is a POST now", cancel_on_get),
)
