"""More about the pictures: each as it is trained, taggers, and folders to choose from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from lib_dreambooth.api.access import allowed_folders
from lib_dreambooth.api.calls import Answer, Body, Call, Route
from lib_dreambooth.api.settings_in import accepted, is_allowed, require_allowed
from lib_dreambooth.api.tables.data import Folder, drawn_for, folder_of
from lib_dreambooth.api.tables.settings import Settings
from lib_dreambooth.api.tables.tools import Task, refuse_busy
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.tasks import Work
from lib_dreambooth.settings.sources import Sourced


class Showing(Settings, frozen=True, kw_only=True):
    """A picture by the id that the scan gave it, and which visit of it, from 0."""

    picture: str
    visit: int = 0


class Trained(Answer, frozen=True, kw_only=True):
    """A visit: `picture` and `mask` (what is left out, in red) as data addresses, and how it was cut."""

    picture: str
    mask: str
    size: list[int]
    bucket: list[int]
    scaled: list[int]
    left: int
    top: int
    flipped: bool
    caption: str
    epoch: int
    step: int


class Counting(Settings, frozen=True, kw_only=True):
    """The settings whose class pictures are counted; a `model` has those that were drawn for it."""

    model: str = ""


class ClassCount(Answer, frozen=True, kw_only=True):
    """Class pictures of a concept: those found, and those that a run wants to have drawn beside them."""

    concept: int
    folder: str
    found: int
    to_draw: int


class Drawing(Settings, frozen=True, kw_only=True):
    """The settings whose class pictures are drawn for a `model`, which is made where there is none."""

    model: str


class Browsing(Body, frozen=True, kw_only=True):
    """A folder to look into; without one the places to begin at."""

    folder: str = ""


class Browsed(Answer, frozen=True, kw_only=True):
    """Folders and zips in it. `above` is empty where there is no way up."""

    folder: str
    above: str
    pictures: int | None
    places: list[dict[str, Any]]


class Tagger(Answer, frozen=True, kw_only=True):
    """A tagger that lies on this machine."""

    id: str
    name: str


class OwnTagger(Answer, frozen=True, kw_only=True):
    """The host's own tagger: whether its file is here, about how large it is, and from where it comes."""

    name: str
    is_here: bool
    num_bytes: int
    source: str


class Taggers(Answer, frozen=True, kw_only=True):
    """Those that are there, where they belong, and what a download would bring; `is_installed` says whether
    those that lie in files can be run. `of_host` is null where the host has none."""

    of_host: OwnTagger | None

    taggers: list[Tagger]
    folder: str
    download: str
    download_bytes: int
    download_from: str
    is_installed: bool


class Tagging(Folder, frozen=True, kw_only=True):
    """A tagger over a folder. Nothing is written unless `apply` is set; `hand_made` allows changing captions
    that a person wrote.

    `existing` says which captions are written: keep, refresh, merge, replace.
    """

    tagger: str = ""
    existing: str = "keep"
    hand_made: bool = False
    threshold: float = 0.35
    character_threshold: float = 0.85
    characters: bool = False
    rating: bool = False
    front: list[str] = msgspec.field(default_factory=list)
    exclude: list[str] = msgspec.field(default_factory=list)
    limit: int = 0
    underscores: bool = False
    apply: bool = False


class TaggingPlanned(Answer, frozen=True, kw_only=True):
    """How many captions would be written; `task` is what does it, where `apply` was set."""

    to_write: int
    kept: int
    hand_made: int
    findings: list[dict[str, Any]]
    task: Task | None


class Fetching(Body, frozen=True, kw_only=True):
    """Nothing is fetched unless `may_download` is set; `tagger` "host" is the host's own."""

    may_download: bool = False
    tagger: str = ""


def trained(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import showing

    body: Showing = call.body
    sourced = accepted(call.host, body.settings, body.changes)
    with tempfile.TemporaryDirectory(prefix="sd-webui-dreambooth-") as unpacked:
        dataset = showing.dataset_of(sourced, Path(unpacked))
        return showing.trained(dataset, body.picture, body.visit).to_json()


def class_counts(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs import showing

    body: Counting = call.body
    sourced = accepted(call.host, body.settings, body.changes)
    with tempfile.TemporaryDirectory(prefix="sd-webui-dreambooth-") as unpacked:
        dataset = showing.dataset_of(sourced, Path(unpacked))
        return showing.class_counts(dataset, drawn_for(call.host, body.model))


def draw_classes(call: Call) -> dict[str, Any]:
    body: Drawing = call.body
    return begin_drawing(call, body.model, accepted(call.host, body.settings, body.changes))


def begin_drawing(call: Call, model: str, sourced: Sourced) -> dict[str, Any]:
    """Begins to draw class pictures; the task. Raises UserError with what is in the way."""
    from lib_dreambooth.jobs import class_pictures

    refuse_busy(call)
    folder, sourced, count = class_pictures.ordered(call.host, model, sourced)
    if not count:
        raise UserError(
            "no class picture is missing.",
            where=folder.name,
            todo="Ask for more of them in the settings, or train.",
            code="nothing-to-draw",
        )
    task = call.site.worker.tasks.start(
        "class-pictures",
        folder.name,
        lambda watching: class_pictures.drawn_by_host(call.host, folder, sourced, watching),
        folder.name,
    )
    return task.to_json()


def browse(call: Call) -> dict[str, Any]:
    from lib_dreambooth.data.sources.pasted import clean_path
    from lib_dreambooth.jobs import browsing

    allowed = None if call.host.settings.may_name_folders else allowed_folders(call.host.paths)
    if not call.body.folder.strip():
        places = [place.to_json() for place in browsing.starts(allowed)]
        return {"folder": "", "above": "", "pictures": None, "places": places}
    folder = clean_path(call.body.folder, "folder").absolute()
    require_allowed(call.host, folder, "folder")
    above = folder.parent
    can_leave = above != folder and (allowed is None or is_allowed(above, allowed))
    places = [
        place.to_json()
        for place in browsing.places_in(folder)
        if allowed is None or is_allowed(place.path, allowed)
    ]
    return {
        "folder": str(folder),
        "above": str(above) if can_leave else "",
        "pictures": browsing.num_pictures(folder),
        "places": places,
    }


def taggers(call: Call) -> dict[str, Any]:
    import importlib.util

    from lib_dreambooth.data.tags.download import MODEL
    from lib_dreambooth.jobs import taggers as found

    paths, own = call.host.paths, call.host.tagger
    known = [{"id": one.id, "name": one.name} for one in found.taggers_of(paths)]
    if own is not None and own.is_here:
        known.insert(0, {"id": found.HOSTS, "name": own.name})
    facts = ("name", "is_here", "num_bytes", "source")
    return {
        "taggers": known,
        "of_host": {name: getattr(own, name) for name in facts} if own is not None else None,
        "folder": str(found.place_for_download(paths)),
        "download": MODEL.name,
        "download_bytes": MODEL.size_bytes,
        "download_from": MODEL.url,
        "is_installed": importlib.util.find_spec("onnxruntime") is not None,
    }


def fetch_tagger(call: Call) -> dict[str, Any]:
    from lib_dreambooth.data.tags.download import MODEL
    from lib_dreambooth.jobs import taggers as found

    paths = call.host.paths
    if call.body.tagger == found.HOSTS:
        return fetch_own(call)
    require_leave(call, MODEL.size_bytes, MODEL.url)
    task = call.site.worker.tasks.start(
        "fetch-tagger", MODEL.name, lambda watching: found.fetch_tagger(paths, watching)
    )
    return task.to_json()


def require_leave(call: Call, num_bytes: int, where: str) -> None:
    """Raises UserError unless the caller has said that this may be fetched."""
    if not call.body.may_download:
        raise UserError(
            f"this fetches {num_bytes / 1e6:.0f} MB over the network.",
            where=where,
            todo="Say that it may.",
            code="download-not-allowed",
        )


def fetch_own(call: Call) -> dict[str, Any]:
    """Has the host fetch its own tagger, once somebody says that it may."""
    from lib_dreambooth.jobs import taggers as found

    own = found.host_tagger(call.host)
    if not own.is_here:
        require_leave(call, own.num_bytes, own.source)
    task = call.site.worker.tasks.start(
        "fetch-tagger", own.name, lambda watching: found.fetch_host_tagger(call.host)
    )
    return task.to_json()


def tag(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import taggers as found

    body: Tagging = call.body
    folder = folder_of(call)
    require_shares(body)
    plan = found.planned_tagging(folder, body.existing)
    shown = found.plan_shown(plan)
    if not body.apply:
        return {**shown, "task": None}
    if plan.hand_made and not body.hand_made:
        raise UserError(
            f"{plan.hand_made} captions that a person wrote would be changed.",
            where="existing",
            todo="Say that this is meant, or keep captions that are there.",
            code="would-change-captions",
        )
    work = tagging_work(call, folder, body)
    task = call.site.worker.tasks.start("tag", folder.name, work)
    return {**shown, "task": task.to_json()}


def tagging_work(call: Call, folder: Path, body: Tagging) -> Work:
    """What writes the captions; raises UserError where the tagger is not here."""
    from lib_dreambooth.data.tags.spelling import Spelling
    from lib_dreambooth.data.tags.tagger import TagChoice
    from lib_dreambooth.jobs import taggers as found

    choice = TagChoice(
        body.threshold,
        body.character_threshold,
        body.characters,
        body.rating,
        tuple(body.front),
        tuple(body.exclude),
        body.limit,
        Spelling(body.underscores, False),
    )
    if body.tagger == found.HOSTS:
        if not found.host_tagger(call.host).is_here:
            raise UserError(
                "the file of this tagger is not on this machine.", where="tagger", todo="Download it first."
            )
        refuse_busy(call)
        return lambda watching: found.tag_folder_by_host(call.host, folder, body.existing, choice, watching)
    files = found.tagger_of(call.host.paths, body.tagger)
    return lambda watching: found.tag_folder(folder, body.existing, choice, watching, found.opener(files))


def require_shares(body: Tagging) -> None:
    """Raises UserError for thresholds and numbers that mean nothing."""
    for name, value in (("threshold", body.threshold), ("character_threshold", body.character_threshold)):
        if not 0 <= value <= 1:
            raise UserError("is not between 0 and 1.", where=name, todo="Choose a share such as 0.35.")
    if body.limit < 0:
        raise UserError("is too small.", where="limit", todo="Choose 0 or more.")


ROUTES = (
    Route("POST", "/dataset/trained", "A picture as a visit of it is trained", trained, Trained, Showing),
    Route(
        "POST",
        "/dataset/class-pictures",
        "How many class pictures there are",
        class_counts,
        list[ClassCount],
        Counting,
    ),
    Route(
        "POST",
        "/dataset/class-pictures/draw",
        "Draw the class pictures that a run would lack",
        draw_classes,
        Task,
        Drawing,
        status=202,
    ),
    Route("POST", "/folders", "Folders to choose from", browse, Browsed, Browsing),
    Route("GET", "/dataset/taggers", "Taggers that lie on this machine", taggers, Taggers),
    Route(
        "POST",
        "/dataset/taggers/download",
        "Fetch the tagger that is known",
        fetch_tagger,
        Task,
        Fetching,
        status=202,
    ),
    Route("POST", "/dataset/tag", "Captions by a tagger", tag, TaggingPlanned, Tagging),
)
