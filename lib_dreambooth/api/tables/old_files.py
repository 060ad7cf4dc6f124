"""The same for files: pictures in, pictures and checkpoints out."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from lib_dreambooth.api.calls import Body, Call, Route
from lib_dreambooth.api.settings_in import accepted
from lib_dreambooth.api.streaming import file_response
from lib_dreambooth.api.tables import models, settings
from lib_dreambooth.api.tables.old import MODEL_NAME, Named, folder_of
from lib_dreambooth.api.tables.page import require_free_card
from lib_dreambooth.api.zipping import zip_response
from lib_dreambooth.base.errors import UserError

LARGEST_UPLOAD = 32 << 20
MOST_PICTURES = 16
PNG = "image/png"


class Sampling(Body, frozen=True, kw_only=True):
    """What to draw with what was trained last; 0 leaves a side to the model, -1 the seed to chance."""

    model_name: str = ""
    sample_prompt: str = ""
    negative_prompt: str = ""
    width: int = 0
    height: int = 0
    num_images: int = 1
    seed: int = -1
    steps: int = 20
    scale: float = 7.5


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in base64 (with or without `data:...,` before it), and its caption."""

    data: str
    name: str
    txt: str = ""


class Uploading(Body, frozen=True, kw_only=True):
    """Pictures for a model; they become a concept of it unless `create_concept` is off."""

    model_name: str = ""
    instance_name: str = ""
    create_concept: bool = True
    images: list[Picture] = msgspec.field(name="imageList", default_factory=list)


def checkpoint(call: Call) -> Any:
    """The newest one that a run of the model made."""
    path = newest(call, folder_of(call, str(call.query["model_name"])).name, "checkpoint")
    if path is None:
        raise UserError(
            "no run of this model made a checkpoint.",
            where=str(call.query["model_name"])[:100],
            todo="Train whole weights; /dreambooth/models_lora lists LoRA files.",
            code="no-such-file",
        )
    return file_response(path, "application/octet-stream", name=path.name)


def adapters(call: Call) -> list[str]:
    from lib_dreambooth.jobs.made_files import results_in
    from lib_dreambooth.training.export.result import stem_of

    folder = folder_of(call, str(call.query["model_name"]))
    return [stem_of(made.path) for made in results_in(folder, call.host) if made.kind == "adapter"]


def newest(call: Call, model: str, kind: str) -> Path | None:
    """The file of a kind that was made last and lies where we may touch it."""
    from lib_dreambooth.jobs.made_files import results_in

    found = [
        made.path
        for made in results_in(folder_of(call, model), call.host)
        if made.kind == kind and made.is_ours and made.path.is_file()
    ]
    return found[-1] if found else None


def status_images(call: Call) -> Any:
    """The previews that were drawn last, of the run under way or of the model that is named."""
    from lib_dreambooth.jobs.made_files import samples_in

    entry = call.site.worker.current
    name = str(call.query["model_name"]) or (entry.model if entry is not None else "")
    found = samples_in(folder_of(call, name))
    return pictures([one.path for one in found if one.step == found[-1].step], f"{name}-samples.zip")


def class_pictures(call: Call) -> Any:
    """Those that were drawn for a model; pictures of the user's own folders are not given away."""
    from lib_dreambooth.jobs.made_files import picture_in

    folder = folder_of(call, str(call.query["model_name"]))
    found = [path for path in sorted(folder.class_images_dir.glob("*")) if not path.is_symlink()]
    ours = [path for path in found if picture_in(folder, folder.inside(path)) is not None]
    return pictures(ours, f"{folder.name}-class-pictures.zip")


def pictures(found: list[Path], name: str) -> Any:
    """One picture as it is, several as a zip."""
    if not found:
        raise UserError("there are no pictures yet.", where=name, todo="Train first.", code="no-such-file")
    # A name in a header is kept to what every browser reads.
    plain = name.encode("ascii", "ignore").decode().replace('"', "")
    return file_response(found[0], PNG) if len(found) == 1 else zip_response(found, plain)


def draw(call: Call) -> Any:
    from lib_dreambooth.jobs.trying import Wish, try_out

    body: Sampling = call.body
    if not 1 <= body.num_images <= MOST_PICTURES:
        raise UserError("is not possible.", where="num_images", todo=f"Choose 1 to {MOST_PICTURES}.")
    folder = folder_of(call, body.model_name)
    require_free_card(call)
    base, adapter = newest(call, folder.name, "checkpoint"), newest(call, folder.name, "adapter")
    tag = f" <lora:{adapter.stem}:1>" if base is None and adapter is not None else ""
    seed = body.seed if body.seed >= 0 else secrets.randbelow(1 << 32)
    wishes = [
        Wish(
            prompt=body.sample_prompt + tag,
            base=base or Path(folder.card().base.path),
            negative=body.negative_prompt,
            steps=body.steps,
            guidance=body.scale,
            seed=seed + number,
            size_wh=(body.width, body.height) if body.width and body.height else None,
        )
        for number in range(body.num_images)
    ]
    return pictures([try_out(call.host, wish) for wish in wishes], f"{folder.name}-drawn.zip")


def upload(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.uploads import arrive

    body: Uploading = call.body
    folder = folder_of(call, body.model_name)
    if not body.images:
        raise UserError("there are no pictures in it.", where="imageList", todo="See /docs.", code="bad-body")
    decoded = [(one, bytes_of(one)) for one in body.images]
    root, arrived = call.host.paths.dreambooth, None
    for one, data in decoded:
        arrived = arrive(root, arrived.id if arrived else "", one.name, data, 0, True)
        if one.txt:
            caption = PurePosixPath(arrived.path.name).with_suffix(".txt").name
            arrive(root, arrived.id, caption, one.txt.encode("utf-8", "replace"), 0, True)
    assert arrived is not None
    if body.create_concept:
        concept = {"folder": str(arrived.folder), "name": body.instance_name}
        add_concept(Call(call.site, {"model": folder.name}), concept)
    return {
        "message": f"{len(decoded)} pictures for {folder.name}.",
        "model": folder.name,
        "folder": str(arrived.folder),
    }


def add_concept(call: Call, concept: dict[str, Any]) -> None:
    """Keeps a concept more among a model's settings; raises SettingsError where those have problems."""
    from lib_dreambooth.settings.files import write_file

    values = settings.of_model(call)
    values["concepts"] = [*values["concepts"], concept]
    write_file(models.model_of(call).settings_path, accepted(call.host, values))


def bytes_of(picture: Picture) -> bytes:
    """Its bytes; raises UserError."""
    try:
        return base64.b64decode(picture.data.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        what, todo = "is not base64.", "Send the bytes so."
        raise UserError(what, where=picture.name[:100], todo=todo, code="bad-body") from error


def remove(call: Call) -> dict[str, Any]:
    folder = folder_of(call, call.body.model_name)
    models.remove(Call(call.site, {"model": folder.name}))
    return {"message": f"{folder.name} was removed.", "model": folder.name}


def draw_on_get(call: Call) -> dict[str, Any]:
    raise UserError(
        "this takes the card, and a link or a picture on any page could ask for it.",
        where="GET /dreambooth/samples",
        todo="Send POST /dreambooth/samples with the same values.",
        code="wrong-method",
    )


def draw_class_pictures(call: Call) -> dict[str, Any]:
    from lib_dreambooth.api.tables.dataset import begin_drawing
    from lib_dreambooth.settings.files import load_text, review_text

    folder = folder_of(call, call.body.model_name)
    sourced = review_text(load_text(folder.settings_path), folder.settings_path.name).accepted()
    task = begin_drawing(call, folder.name, sourced)
    return {"message": f"class pictures of {folder.name} are being drawn.", "task": task["id"]}


def upload_address(call: Call) -> dict[str, Any]:
    raise UserError(
        "nothing is fetched from other machines for a caller.",
        todo="Fetch the pictures yourself, and send them to POST /dreambooth/upload.",
        code="not-offered",
    )


GIVEN = (MODEL_NAME,)
ROUTES = (
    Route("GET", "/checkpoint", "Old: the newest checkpoint", checkpoint, "file", query=GIVEN),
    Route("GET", "/models_lora", "Old: names of LoRA files", adapters, list[str], query=GIVEN),
    Route("GET", "/status_images", "Old: the newest previews", status_images, "file", query=GIVEN),
    Route(
        "GET", "/classifiers", "Old: the class pictures that were drawn", class_pictures, "file", query=GIVEN
    ),
    Route(
        "POST",
        "/classifiers",
        "Old: draw the class pictures that the model lacks",
        draw_class_pictures,
        body=Named,
        takes_anything=True,
    ),
    Route("POST", "/samples", "Old: draw with what was trained", draw, "file", Sampling, takes_anything=True),
    Route("GET", "/samples", "Old: says that this is a POST now", draw_on_get),
    Route(
        "POST",
        "/upload",
        "Old: pictures for a model",
        upload,
        body=Uploading,
        largest=LARGEST_UPLOAD,
        takes_anything=True,
    ),
    Route(
        "POST",
        "/upload_url",
        "Old: says that nothing is fetched",
        upload_address,
        body=Named,
        takes_anything=True,
    ),
    Route("DELETE", "/model", "Old: remove a model", remove, body=Named, takes_anything=True),
)
