"""The captions of a folder for whoever edits them from afar: shown by ids, changed by plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.captions.read import caption_lines
from lib_dreambooth.data.captions.tagtext import split_tags, tag_key
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.tags import edits
from lib_dreambooth.data.tags.journal import Journal, Restored
from lib_dreambooth.data.tags.places import MOST_OPERATIONS, default_journal, pictures_in
from lib_dreambooth.data.tags.planning import (
    EditPlan,
    Planned,
    apply_plan,
    caption_files,
    plan_edit,
    read_texts,
)
from lib_dreambooth.data.tags.pruning import as_edit, propose_by_folder
from lib_dreambooth.jobs.made_files import id_of

KINDS = ("replace", "replace-tag", "add", "remove", "reorder", "prune", "write")


@dataclass(frozen=True)
class Wish:
    """An edit as it is asked for; each kind reads its own fields. `texts` are whole captions by id."""

    kind: str
    old: str = ""
    new: str = ""
    tags: tuple[str, ...] = ()
    is_pattern: bool = False
    ignore_case: bool = False
    at_back: bool = False
    creates: bool = False
    rest: str = "as is"
    keep: int = 0
    only: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    separator: str = ","


def captions_in(folder: Path) -> dict[str, Any]:
    """Every picture of a folder with its caption; `text` is None where it has none."""
    pictures = pictures_in(folder)
    files = {one: next(iter(caption_files([one])), None) for one in pictures}
    texts, findings = texts_of([path for path in files.values() if path is not None])
    rows = [
        {
            "id": id_of(picture),
            "picture": shown_name(picture, folder),
            "file": shown_name(path, folder) if path is not None else "",
            "text": texts.get(path) if path is not None else None,
            "is_editable": path is None or path in texts,
        }
        for picture, path in files.items()
    ]
    return {"captions": rows, "findings": [finding.to_json() for finding in findings]}


def proposals_in(folder: Path, triggers: tuple[str, ...], separator: str) -> list[dict[str, Any]]:
    """The tags that might better go, each with its reason."""
    texts, _ = texts_of(caption_files(pictures_in(folder)))
    return [
        {
            "folder": shown_name(place, folder),
            "tag": one.tag,
            "count": one.count,
            "total": one.total,
            "reason": one.reason,
            "why": one.why,
            "by": one.by,
            "is_recommended": one.is_recommended,
        }
        for place, found in propose_by_folder(texts, triggers, separator).items()
        for one in found
    ]


def planned(folder: Path, wish: Wish) -> EditPlan:
    """What an edit does to the captions of a folder; raises UserError. Writes nothing."""
    pictures = pictures_in(folder)
    if wish.kind == "write":
        return planned_texts(pictures, wish)
    paths = caption_files(pictures, create=wish.kind == "add" and wish.creates)
    if wish.kind == "prune":
        return planned_pruning(paths, wish)
    edit = edit_of(wish, paths)
    return plan_edit(paths, edit, action_of(wish))


def edit_of(wish: Wish, paths: list[str]) -> Callable[[str], str]:
    """The edit of one text."""
    if wish.kind == "replace":
        return edits.ReplaceText(wish.old, wish.new, wish.is_pattern, wish.ignore_case)
    if wish.kind == "replace-tag":
        return edits.ReplaceTags({wish.old: wish.new}, wish.separator)
    if wish.kind == "add":
        return edits.AddTags(wish.tags, "back" if wish.at_back else "front", wish.separator)
    if wish.kind == "remove":
        return edits.RemoveTags(wish.tags, wish.is_pattern, wish.separator)
    if wish.kind == "reorder":
        return edits.ReorderTags(wish.tags, wish.rest, counts_of(paths, wish), wish.keep, wish.separator)  # type: ignore[arg-type]
    raise UserError(
        f'there is no edit "{wish.kind[:40]}".', where="kind", todo=f"There are: {', '.join(KINDS)}."
    )


def action_of(wish: Wish) -> str:
    """What the list of edits calls it."""
    if wish.kind.startswith("replace"):
        return f"Replace {wish.old} by {wish.new}"
    return {"add": "Add ", "remove": "Remove "}.get(wish.kind, "Reorder tags") + ", ".join(
        wish.tags if wish.kind in ("add", "remove") else ()
    )


def planned_texts(pictures: list[str], wish: Wish) -> EditPlan:
    """Whole captions, for pictures that have none yet too."""
    by_id = {id_of(picture): picture for picture in pictures}
    unknown = [one for one in wish.texts if one not in by_id]
    if unknown:
        raise UserError(
            "there is no such picture in the folder (any more).",
            where=unknown[0][:40],
            todo="Look at the folder again.",
            code="no-such-file",
        )
    parts: list[EditPlan] = []
    for one, text in wish.texts.items():
        paths = caption_files([by_id[one]], create=True)
        parts.append(plan_edit(paths, lambda before, text=text: text, ""))  # type: ignore[misc]
    return joined(parts, "Write captions")


def planned_pruning(paths: list[str], wish: Wish) -> EditPlan:
    """The proposals taken out, folder by folder: those named, else those that are recommended."""
    texts, _ = texts_of(paths)
    only = {tag_key(tag) for tag in wish.only}
    parts = []
    for place, found in propose_by_folder(texts, wish.tags, wish.separator).items():
        chosen = [one for one in found if (one.tag in only if only else one.is_recommended)]
        inside = [path for path in texts if str(Path(path).parent) == place]
        parts.append(plan_edit(inside, as_edit(chosen, wish.separator), ""))
    return joined(parts, "Prune tags")


def joined(parts: list[EditPlan], action: str) -> EditPlan:
    """Several plans as one operation."""
    changes: list[Planned] = [one for part in parts for one in part.planned]
    findings: list[Finding] = [one for part in parts for one in part.findings]
    return EditPlan(action, tuple(changes), tuple(dict.fromkeys(findings)))


def counts_of(paths: list[str], wish: Wish) -> Counter[str]:
    """How often each tag stands in the captions."""
    texts, _ = texts_of(paths)
    return Counter(
        tag_key(tag)
        for text in texts.values()
        for line in caption_lines(text)
        for tag in split_tags(line, wish.separator)
    )


def made(folder: Path, plan: EditPlan) -> dict[str, UserError]:
    """Makes the changes; those that failed come back by path and leave their files as they were."""
    journal = journal_of(folder)
    failed = apply_plan(plan, journal) if plan.planned else {}
    journal.forget(MOST_OPERATIONS)
    return failed


def journal_of(folder: Path) -> Journal:
    """Where the edits of a folder are remembered."""
    return Journal(default_journal(folder))


def plan_shown(plan: EditPlan, folder: Path) -> dict[str, Any]:
    """What an edit does, for pages and programs."""
    files = [
        {
            "file": shown_name(one.path, folder),
            "before": None if one.change.before is None else one.before,
            "after": one.after,
            "turns_utf8": one.turns_utf8,
        }
        for one in plan.planned
    ]
    findings = [finding.to_json() for finding in plan.findings]
    return {"action": plan.action, "files": files, "findings": findings}


def restored_shown(done: Restored, folder: Path) -> dict[str, Any]:
    """What taking an edit back did."""
    return {
        "restored": [shown_name(path, folder) for path in done.restored],
        "edited_since": [shown_name(path, folder) for path in done.edited_since],
        "failed": {shown_name(path, folder): why for path, why in done.failed.items()},
    }


def texts_of(paths: list[str]) -> tuple[dict[str, str], list[Finding]]:
    """The captions' texts, and those that could not be read; JSON is not edited."""
    texts, findings = read_texts([path for path in paths if not path.lower().endswith(".json")])
    return {path: decoded.text for path, (_, decoded) in texts.items()}, findings


def shown_name(path: str, folder: Path) -> str:
    """A file as it is called inside the folder."""
    place = Path(path)
    return (place.relative_to(folder) if place.is_relative_to(folder) else place).as_posix()
