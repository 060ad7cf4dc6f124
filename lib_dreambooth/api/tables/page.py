"""What a page needs beside what programs do: files that are dropped on it, a run to draw again, a picture."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from lib_dreambooth.api.calls import Answer, Body, Call, Route
from lib_dreambooth.api.streaming import file_response
from lib_dreambooth.api.tables.models import base_path, model_of
from lib_dreambooth.base.errors import UserError

LARGEST_PART = 8 << 20


class Part(Body, frozen=True, kw_only=True):
    """A part of a file in base64; without an `upload` a new one begins. `begin` is where the part belongs."""

    name: str
    base64: str
    upload: str = ""
    begin: int = 0
    is_last: bool = True


class Upload(Answer, frozen=True, kw_only=True):
    """`upload` is for the next file, `folder` what a concept is to name: the folder, or a single zip."""

    upload: str
    folder: str
    file: str


class Drawing(Body, frozen=True, kw_only=True):
    """A picture; networks stand in the prompt as <lora:name:0.8>. `base` is an id or a path."""

    prompt: str
    base: str
    negative: str = ""
    steps: int = 20
    guidance: float = 7.0
    seed: int = 0
    sampler: str = "euler a"
    width: int = 0
    height: int = 0


class Drawn(Answer, frozen=True, kw_only=True):
    """The picture by its id."""

    id: str


class SoFar(Answer, frozen=True, kw_only=True):
    """Events that draw the last run again; `last` is the number to follow the stream from."""

    events: list[dict[str, Any]]
    last: int


def upload(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.uploads import ARCHIVES, arrive

    body: Part = call.body
    try:
        data = base64.b64decode(body.base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(
            "is not base64.", where="base64", todo="Send the bytes so.", code="bad-body"
        ) from error
    if body.begin < 0:
        raise UserError("is not a place in a file.", where="begin", todo="Give 0 or more.", code="bad-body")
    root = call.host.paths.dreambooth
    found = arrive(root, body.upload, body.name, data, body.begin, body.is_last)
    others = [one for one in found.folder.iterdir() if one != found.path]
    is_alone = found.path.suffix.lower() in ARCHIVES and not others
    return {
        "upload": found.id,
        "folder": str(found.path if is_alone else found.folder),
        "file": found.path.name,
    }


def so_far(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.so_far import run_so_far
    from lib_dreambooth.runs.events import to_json

    events, last = run_so_far(model_of(call))
    return {"events": [to_json(event) for event in events], "last": last}


def draw(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.made_files import id_of
    from lib_dreambooth.jobs.trying import Wish, try_out

    body: Drawing = call.body
    require_free_card(call)
    wish = Wish(
        prompt=body.prompt,
        base=base_path(call, body.base),
        negative=body.negative,
        steps=body.steps,
        guidance=body.guidance,
        seed=body.seed,
        sampler=body.sampler,
        size_wh=(body.width, body.height) if body.width and body.height else None,
    )
    return {"id": id_of(try_out(call.host, wish).name)}


def require_free_card(call: Call) -> None:
    """Raises UserError while a training is under way."""
    entry = call.site.worker.current
    if entry is not None:
        what, todo = "a training has the card.", "Wait for it, or cancel it."
        raise UserError(what, where=entry.model, todo=todo, code="is-running")


def drawn(call: Call) -> Any:
    from lib_dreambooth.jobs.made_files import id_of, no_such_file
    from lib_dreambooth.jobs.trying import FOLDER

    wanted = call.parts["file_id"]
    for path in (call.host.paths.dreambooth / FOLDER).glob("*.png"):
        if id_of(path.name) == wanted and not path.is_symlink():
            return file_response(path, "image/png")
    raise no_such_file(wanted)


ROUTES = (
    Route(
        "POST",
        "/pictures",
        "Pictures for a training, part by part",
        upload,
        Upload,
        Part,
        largest=LARGEST_PART,
    ),
    Route("GET", "/models/{model}/run", "The last run, as much as draws it again", so_far, SoFar),
    Route("POST", "/draw", "A picture, where no training has the card", draw, Drawn, Drawing, status=201),
    Route("GET", "/drawn/{file_id}", "A picture that was drawn", drawn, "picture"),
)
