"""What runs made: files for use, previews, the report; by ids, never by paths."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lib_dreambooth.api.calls import Answer, Body, Call, Query, Route
from lib_dreambooth.api.streaming import file_response
from lib_dreambooth.api.tables.models import model_of
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import ADAPTERS, CHECKPOINTS, EMBEDDINGS

REFRESHED = {"adapter": ADAPTERS, "checkpoint": CHECKPOINTS, "embedding": EMBEDDINGS}


class Result(Answer, frozen=True, kw_only=True):
    """A file for use; `is_ours` off: it lies where it can only be told of. `preview_id` may be empty."""

    id: str
    name: str
    file: str
    kind: str
    step: int
    epoch: float
    num_bytes: int
    time: float
    reason: str
    run_id: str
    is_ours: bool
    preview_id: str


class Sample(Answer, frozen=True, kw_only=True):
    """A preview; `nearest_id` is the training picture most like it, or empty."""

    id: str
    step: int
    epoch: float
    prompt: str
    concept: str
    time: float
    run_id: str
    nearest_id: str


class State(Answer, frozen=True, kw_only=True):
    """A state to go on from; only the newest whole one is used."""

    step: int
    lineage: int
    num_bytes: int


class Sending(Answer, frozen=True, kw_only=True):
    """What goes into txt2img: `prompt` with the tag, `checkpoint` to choose, `text` for the whole form."""

    kind: str
    prompt: str
    negative: str
    trigger: str
    weight: float
    checkpoint: str
    text: str
    sample_id: str


class Promoting(Body, frozen=True, kw_only=True):
    """A plain name in the folder that the host lists; `replaces` what has it, `moves` instead of copying."""

    name: str
    replaces: bool = False
    moves: bool = False


class Promoted(Answer, frozen=True, kw_only=True):
    """The file under its new name."""

    name: str
    file: str


class Deleted(Answer, frozen=True, kw_only=True):
    """What is gone, side files included."""

    files: list[str]


def results(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.made_files import results_in, shown

    return [shown(made) for made in results_in(model_of(call), call.host)]


def samples(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.made_files import sample_shown, samples_in

    found = samples_in(model_of(call))
    step = int(call.query["step"])
    return [sample_shown(one) for one in found if step == 0 or one.step == step]


def states(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.runs.kept_states import all_states

    found, _ = all_states(model_of(call).states_dir)
    return [{"step": one.step, "lineage": one.lineage, "num_bytes": one.num_bytes} for one in found]


def picture(call: Call) -> Any:
    from lib_dreambooth.jobs.made_files import picture_of

    return file_response(picture_of(model_of(call), call.host, call.parts["file_id"]), "image/png")


def picture_text(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.made_files import picture_of
    from lib_dreambooth.sampling.infotext import text_in

    return {"text": text_in(picture_of(model_of(call), call.host, call.parts["file_id"]))}


def download(call: Call) -> Any:
    made = made_of(call)
    if made.path.is_dir():
        raise UserError("is a folder.", where=made.path.name, todo="Take it from the disk.", code="is-folder")
    return file_response(made.path, "application/octet-stream", name=made.path.name)


def send(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.made_files import samples_in
    from lib_dreambooth.jobs.sending import sending

    return sending(made_of(call), samples_in(model_of(call))).to_json()


def promote(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.orders import results_of
    from lib_dreambooth.training.export import promote as promoting

    body: Promoting = call.body
    made = made_of(call)
    if made.path.is_dir() or made.kind not in REFRESHED:
        raise UserError(
            "only files that the host lists can have a name there.", where=made.path.name, code="is-folder"
        )
    folder = results_of(call.host.paths).of(made.kind)
    folder.mkdir(parents=True, exist_ok=True)
    path = promoting.promote(made.path, folder, body.name, replace=body.replaces, move=body.moves)
    call.host.refresh(REFRESHED[made.kind])
    return {"name": path.stem, "file": path.name}


def delete(call: Call) -> dict[str, Any]:
    from lib_dreambooth.training.export.result import side_files

    made = made_of(call)
    # Side files first: a card without its file is nothing, a file without its card still works.
    gone = [*side_files(made.path), made.path]
    for path in gone:
        remove(path)
    if made.kind in REFRESHED:
        call.host.refresh(REFRESHED[made.kind])
    return {"files": [path.name for path in gone]}


def remove(path: Path) -> None:
    """Takes a file away, or a diffusers folder; never what a link leads to."""
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path)
    except OSError as error:
        raise UserError(
            f"could not be removed ({error.strerror or error}).",
            where=path.name,
            todo="Close the programs that use it, and try again.",
            code="not-writable",
        ) from error


def made_of(call: Call) -> Any:
    """The result that a call names; raises UserError."""
    from lib_dreambooth.jobs.made_files import result_of

    return result_of(model_of(call), call.host, call.parts["file_id"])


MODEL = "/models/{model}"
ROUTES = (
    Route("GET", f"{MODEL}/results", "The files that its runs made", results, list[Result]),
    Route(
        "GET",
        f"{MODEL}/samples",
        "The previews that its runs drew",
        samples,
        list[Sample],
        query=(Query("step", "only those of this step, 0 for all", 0),),
    ),
    Route("GET", f"{MODEL}/states", "What it can go on from", states, list[State]),
    Route(
        "GET",
        f"{MODEL}/pictures/{{file_id}}",
        "A preview, or the picture beside a result",
        picture,
        "picture",
    ),
    Route("GET", f"{MODEL}/pictures/{{file_id}}/text", "Its whole generation text", picture_text),
    Route("GET", f"{MODEL}/results/{{file_id}}/file", "A result to keep", download, "file"),
    Route("GET", f"{MODEL}/results/{{file_id}}/send", "What sends it to txt2img", send, Sending),
    Route(
        "POST",
        f"{MODEL}/results/{{file_id}}/promote",
        "Use this one, under a plain name",
        promote,
        Promoted,
        Promoting,
    ),
    Route("DELETE", f"{MODEL}/results/{{file_id}}", "Remove a result with its side files", delete, Deleted),
)
