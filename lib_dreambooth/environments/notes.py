"""Remembers which packages could not be had, so that a launch without a network does not wait for them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments.additions import Addition

FILE_NAME = ".install-notes.json"
# An optional package is not asked for again before this; what training cannot do without, at every launch.
ASK_AGAIN_AFTER_S = 24 * 3600


class Note(TypedDict):
    """Why a package could not be had, and when that was last tried (seconds since 1970)."""

    why: str
    at: float


def split(
    wanted: Sequence[Addition], notes: Mapping[str, Note], now: float
) -> tuple[list[Addition], list[tuple[Addition, Note]]]:
    """What to ask for now, and what was asked for in vain a short while ago."""
    ask: list[Addition] = []
    given_up: list[tuple[Addition, Note]] = []
    for addition in wanted:
        note = notes.get(addition.requirement)
        if note is None or addition.package.is_required or not 0 <= now - note["at"] < ASK_AGAIN_AFTER_S:
            ask.append(addition)
        else:
            given_up.append((addition, note))
    return ask, given_up


def read(path: Path) -> dict[str, Note]:
    """What was asked for in vain, by requirement; whatever cannot be read is left out."""
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(notes, dict):
        return {}
    return {name: note for name, note in notes.items() if is_note(note)}


def is_note(value: object) -> bool:
    """Whether a value from a file has the form of a `Note`."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("why"), str)
        and isinstance(value.get("at"), (int, float))
    )


def write(
    path: Path,
    given_up: Sequence[tuple[Addition, Note]],
    failures: Sequence[tuple[Addition, str]],
    now: float,
) -> None:
    """Keeps what could not be had, with the time of the last try; not being able to is no failure."""
    notes = {addition.requirement: note for addition, note in given_up}
    notes.update({addition.requirement: Note(why=why, at=now) for addition, why in failures})
    with contextlib.suppress(UserError, OSError):
        if notes:
            files.write_json(path, notes)
        else:
            path.unlink(missing_ok=True)
