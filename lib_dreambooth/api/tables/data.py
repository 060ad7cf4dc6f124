"""The pictures: what a dataset holds and what is wrong with it, and its captions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lib_dreambooth.api.calls import Answer, Body, Call, Route
from lib_dreambooth.api.settings_in import accepted, require_allowed
from lib_dreambooth.api.tables.settings import Settings
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import Host
from lib_dreambooth.runs.folder import ModelFolder


class Looking(Settings, frozen=True, kw_only=True):
    """The settings whose concepts are looked at; `thumbnails` adds a small picture of each. A `model` has the
    class pictures that were drawn for it."""

    thumbnails: bool = False
    model: str = ""


class Folder(Body, frozen=True, kw_only=True):
    """A folder with pictures."""

    folder: str


class Proposing(Folder, frozen=True, kw_only=True):
    """Triggers are never proposed."""

    triggers: list[str] = msgspec.field(default_factory=list)
    separator: str = ","


class Editing(Folder, frozen=True, kw_only=True):
    """An edit over all captions: replace, replace-tag, add, remove, reorder, prune, write. Nothing is written
    unless `apply` is set.

    replace and replace-tag read old and new; add, remove and reorder (to the front) read tags, prune takes
    them for triggers; write reads texts: whole captions by the ids of their pictures.
    """

    kind: str
    old: str = ""
    new: str = ""
    tags: list[str] = msgspec.field(default_factory=list)
    is_pattern: bool = False
    ignore_case: bool = False
    at_back: bool = False
    creates: bool = False
    rest: str = "as is"
    keep: int = 0
    only: list[str] = msgspec.field(default_factory=list)
    texts: dict[str, str] = msgspec.field(default_factory=dict)
    separator: str = ","
    apply: bool = False


class Undoing(Folder, frozen=True, kw_only=True):
    """The last edit, or that with a number; `redo` makes an undone one again."""

    number: int = 0
    redo: bool = False


class Captions(Answer, frozen=True, kw_only=True):
    """Every picture with its caption."""

    captions: list[dict[str, Any]]
    findings: list[dict[str, Any]]


class Edited(Answer, frozen=True, kw_only=True):
    """What an edit does, or did, to each file."""

    action: str
    files: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    is_applied: bool
    failed: list[dict[str, Any]]


class Undone(Answer, frozen=True, kw_only=True):
    """What taking an edit back did."""

    number: int
    action: str
    restored: list[str]
    edited_since: list[str]
    failed: dict[str, str]


class Edit(Answer, frozen=True, kw_only=True):
    """An edit that can be taken back."""

    number: int
    action: str
    captions: int
    is_undone: bool


@contextlib.contextmanager
def uncounted(what: str) -> Iterator[Any]:
    """Nobody watches the counting."""
    yield lambda done, total: None


def scan(call: Call) -> dict[str, Any]:
    import tempfile

    from lib_dreambooth.jobs.looking import look_at
    from lib_dreambooth.jobs.showing import class_counts

    body: Looking = call.body
    sourced = accepted(call.host, body.settings, body.changes)
    with tempfile.TemporaryDirectory(prefix="sd-webui-dreambooth-") as unpacked:
        found = look_at(sourced, uncounted, Path(unpacked), with_thumbnails=body.thumbnails)
    thumbnails = {"thumbnails": found.report.thumbnails} if body.thumbnails else {}
    ids = {item.path: item.id for item in found.dataset.items}
    counts = class_counts(found.dataset, drawn_for(call.host, body.model))
    told = {"is_size_guessed": found.is_size_guessed, "ids": ids, "class_counts": counts}
    return {**found.to_json(), **told, **thumbnails}


def drawn_for(host: Host, model: str) -> ModelFolder | None:
    """The model whose class pictures count; None for one that is not there yet."""
    return ModelFolder.find(host.paths.dreambooth, model) if model else None


def captions(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.captioning import captions_in

    return captions_in(folder_of(call))


def proposals(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.captioning import proposals_in

    body: Proposing = call.body
    return proposals_in(folder_of(call), tuple(body.triggers), body.separator)


def edit(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import captioning

    body: Editing = call.body
    folder = folder_of(call)
    if body.keep < 0 or body.rest not in ("as is", "by name", "by count"):
        raise UserError(
            "is not an order.", where="rest", todo="Give as is, by name or by count; keep 0 or more."
        )
    wish = captioning.Wish(
        kind=body.kind,
        old=body.old,
        new=body.new,
        tags=tuple(body.tags),
        is_pattern=body.is_pattern,
        ignore_case=body.ignore_case,
        at_back=body.at_back,
        creates=body.creates,
        rest=body.rest,
        keep=body.keep,
        only=tuple(body.only),
        texts=body.texts,
        separator=body.separator,
    )
    plan = captioning.planned(folder, wish)
    failed = captioning.made(folder, plan) if body.apply else {}
    told = captioning.plan_shown(plan, folder)
    return {**told, "is_applied": body.apply, "failed": [error.to_json() for error in failed.values()]}


def undo(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.captioning import journal_of, restored_shown

    body: Undoing = call.body
    folder = folder_of(call)
    journal = journal_of(folder)
    entry, done = (journal.redo if body.redo else journal.undo)(body.number or None)
    return {"number": entry.number, "action": entry.action, **restored_shown(done, folder)}


def history(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.captioning import journal_of

    return [
        {
            "number": entry.number,
            "action": entry.action,
            "captions": len(entry.changes),
            "is_undone": entry.is_undone,
        }
        for entry in journal_of(folder_of(call)).entries()
    ]


def folder_of(call: Call) -> Path:
    """The folder that a call names, as people paste it; raises UserError."""
    from lib_dreambooth.data.sources.pasted import clean_path

    folder = clean_path(call.body.folder, "folder").absolute()
    require_allowed(call.host, folder, "folder")
    return folder


ROUTES = (
    Route(
        "POST",
        "/dataset/scan",
        "What is in the folders, what is wrong, what is trained on",
        scan,
        body=Looking,
    ),
    Route("POST", "/dataset/captions", "The captions of a folder", captions, Captions, Folder),
    Route("POST", "/dataset/captions/edit", "An edit over all of them", edit, Edited, Editing),
    Route(
        "POST",
        "/dataset/captions/proposals",
        "Tags that might go",
        proposals,
        list[dict[str, Any]],
        Proposing,
    ),
    Route("POST", "/dataset/captions/undo", "Take an edit back", undo, Undone, Undoing),
    Route(
        "POST", "/dataset/captions/history", "The edits that can be taken back", history, list[Edit], Folder
    ),
)
