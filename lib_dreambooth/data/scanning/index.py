"""What an earlier scan learned, so that an unchanged folder is read without opening its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.files import write_text
from lib_dreambooth.data.scanning.facts import FileFacts

VERSION = 1


def load_index(path: Path | None) -> dict[str, FileFacts]:
    """Facts by path; empty where there is no index, or a damaged or older one."""
    if path is None:
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] != VERSION:
            return {}
        return {name: from_row(row) for name, row in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def save_index(path: Path, facts: Mapping[str, FileFacts]) -> None:
    """Writes the index, whole or not at all."""
    rows = {name: to_row(fact) for name, fact in facts.items()}
    # Names that are no valid Unicode (Linux allows any bytes) survive as escapes.
    write_text(path, json.dumps({"version": VERSION, "files": rows}, separators=(",", ":")))


def is_current(fact: FileFacts | None, size: int, mtime_ns: int) -> bool:
    """True where a file still has the size and time that its facts were read at."""
    return fact is not None and fact.size == size and fact.mtime_ns == mtime_ns


def to_row(fact: FileFacts) -> list[Any]:
    """A fact as a JSON row."""
    return [
        fact.size,
        fact.mtime_ns,
        fact.content,
        fact.picture_format,
        fact.stored_size[0],
        fact.stored_size[1],
        fact.orientation,
        int(fact.has_alpha),
        fact.problem,
    ]


def from_row(row: list[Any]) -> FileFacts:
    """The opposite of `to_row`; raises TypeError or ValueError on a row of another form."""
    size, mtime_ns, content, picture_format, width, height, orientation, has_alpha, problem = row
    numbers = (size, mtime_ns, width, height, orientation)
    texts = (content, picture_format, problem)
    if not all(type(n) is int for n in numbers) or not all(type(t) is str for t in texts):
        raise TypeError("not a row of an index")
    return FileFacts(
        size, mtime_ns, content, picture_format, (width, height), orientation, bool(has_alpha), problem
    )
