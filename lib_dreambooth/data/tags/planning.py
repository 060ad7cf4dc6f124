"""An edit over many caption files: looked at first, then made, with the journal able to take it back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.captions.decode import UNDECODABLE, UNSURE, Decoded, encode
from lib_dreambooth.data.captions.read import decode_together, find_captions
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.tags.journal import Change, Journal, read_or_none


@dataclass(frozen=True, slots=True)
class Planned:
    """What an edit will do to one file. `turns_utf8`: its old encoding lacks a character of the new text."""

    path: str
    before: str
    after: str
    change: Change
    turns_utf8: bool = False


@dataclass(frozen=True, slots=True)
class EditPlan:
    """What an edit will do; nothing is written yet."""

    action: str
    planned: tuple[Planned, ...]
    findings: tuple[Finding, ...]


def caption_files(pictures: Sequence[Path | str], create: bool = False, extension: str = ".txt") -> list[str]:
    """The caption files of pictures; with `create`, also the names of those that do not exist yet."""
    found = []
    for picture, path in zip(pictures, find_captions(pictures), strict=True):
        if path is not None:
            found.append(str(path))
        elif create:
            found.append(str(Path(picture).with_suffix(extension)))
    return list(dict.fromkeys(found))


def read_texts(paths: Sequence[str]) -> tuple[dict[str, tuple[bytes | None, Decoded]], list[Finding]]:
    """Bytes and text of caption files; an absent one is empty, an unreadable one a finding."""
    folders: dict[Path, dict[str, bytes]] = defaultdict(dict)
    found: dict[str, tuple[bytes | None, Decoded]] = {}
    findings = []
    for path in paths:
        try:
            data = read_or_none(path)
        except FileError as error:
            findings.append(left_alone(path, error.what))
            continue
        if data is None:
            found[path] = (None, Decoded(""))
        else:
            folders[Path(path).parent][path] = data
    for raw in folders.values():
        found |= {path: (raw[path], decoded) for path, decoded in decode_together(raw).items()}
    return {path: found[path] for path in paths if path in found}, findings


def plan_edit(paths: Sequence[str], edit: Callable[[str], str], action: str) -> EditPlan:
    """Looks at each file and says what `edit` would make of it."""
    texts, findings = read_texts([path for path in paths if not path.lower().endswith(".json")])
    findings += [left_alone(path, "JSON captions are not edited.") for path in paths if path not in texts
                 and path.lower().endswith(".json")]  # fmt: skip
    planned = []
    for path, (data, decoded) in texts.items():
        if {UNDECODABLE, UNSURE} & set(decoded.problems):
            findings.append(left_alone(path, "its encoding is not certain, so writing it could lose text."))
            continue
        after = edit(decoded.text)
        if after == decoded.text:
            continue
        raw, encoding = encode(after, decoded)
        change = Change(path, data, raw)
        planned.append(Planned(path, decoded.text, after, change, encoding != decoded.encoding))
    return EditPlan(action, tuple(planned), tuple(findings))


def apply_plan(plan: EditPlan, journal: Journal) -> dict[str, UserError]:
    """Makes the planned changes; those that failed come back by path and leave their files as they were."""
    return journal.begin(plan.action).change([planned.change for planned in plan.planned])


def left_alone(path: str, why: str) -> Finding:
    """A file that an edit does not touch."""
    return Finding(
        "caption-not-edited",
        "warning",
        (path,),
        f"The caption was left as it is: {why}",
        todo="Open it in an editor and save it as UTF-8, then repeat the edit.",
    )
