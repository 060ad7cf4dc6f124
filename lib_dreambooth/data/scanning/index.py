"""What an earlier scan learned, so that an unchanged folder is read without opening a single file in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_dreambooth.base.files import write_text
from lib_dreambooth.data.item import CaptionText, Finding
from lib_dreambooth.data.scanning.facts import FileFacts

VERSION = 2
# What a damaged or foreign file makes the reading raise.
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True, slots=True)
class FolderCaptions:
    """The captions of one folder by path, and what was wrong; `key` tells whether any of it changed."""

    key: str
    captions: dict[str, CaptionText]
    findings: tuple[Finding, ...]


@dataclass
class Index:
    """Facts of pictures and masks by path, captions by folder."""

    facts: dict[str, FileFacts] = field(default_factory=dict)
    captions: dict[str, FolderCaptions] = field(default_factory=dict)


def load_index(path: Path | None) -> Index:
    """The index; empty where there is none, or a damaged or older one."""
    if path is None:
        return Index()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] != VERSION:
            return Index()
        return Index(
            {name: fact_from_row(row) for name, row in stored["files"].items()},
            {name: captions_from_row(row) for name, row in stored["captions"].items()},
        )
    except DAMAGE:
        return Index()


def save_index(path: Path, index: Index) -> None:
    """Writes the index, whole or not at all."""
    stored = {
        "version": VERSION,
        "files": {name: row_of_fact(fact) for name, fact in index.facts.items()},
        "captions": {name: row_of_captions(found) for name, found in index.captions.items()},
    }
    # Names that are no valid Unicode (Linux allows any bytes) survive as escapes.
    write_text(path, json.dumps(stored, separators=(",", ":")))


def is_current(fact: FileFacts | None, size: int, mtime_ns: int) -> bool:
    """True where a file still has the size and time that its facts were read at."""
    return fact is not None and fact.size == size and fact.mtime_ns == mtime_ns


def row_of_fact(fact: FileFacts) -> list[Any]:
    """A fact as a JSON row."""
    return [
        fact.size,
        fact.mtime_ns,
        fact.content,
        fact.picture_format,
        *fact.stored_size,
        fact.orientation,
        int(fact.has_alpha),
        fact.problem,
    ]


def fact_from_row(row: list[Any]) -> FileFacts:
    """The opposite of `row_of_fact`; raises TypeError or ValueError on a row of another form."""
    size, mtime_ns, content, picture_format, width, height, orientation, has_alpha, problem = row
    need(int, size, mtime_ns, width, height, orientation)
    need(str, content, picture_format, problem)
    return FileFacts(
        size, mtime_ns, content, picture_format, (width, height), orientation, bool(has_alpha), problem
    )


def row_of_captions(found: FolderCaptions) -> list[Any]:
    """A folder's captions as a JSON row."""
    texts = {path: [caption.text, caption.origin, caption.source] for path, caption in found.captions.items()}
    return [found.key, texts, [finding.to_json() for finding in found.findings]]


def captions_from_row(row: list[Any]) -> FolderCaptions:
    """The opposite of `row_of_captions`; raises TypeError, KeyError or ValueError on another form."""
    key, texts, findings = row
    captions = {}
    for path, (text, origin, source) in texts.items():
        need(str, text, origin, source)
        captions[path] = CaptionText(text, origin, source)  # type: ignore[arg-type]
    need(str, key)
    return FolderCaptions(key, captions, tuple(finding_from_json(found) for found in findings))


def finding_from_json(found: dict[str, Any]) -> Finding:
    """The opposite of `Finding.to_json`."""
    paths = tuple(found["paths"])
    texts = [found[name] for name in ("code", "severity", "what", "effect", "todo")]
    need(str, *paths, *texts)
    code, severity, what, effect, todo = texts
    return Finding(code, severity, paths, what, effect, todo)


def need(kind: type, *values: Any) -> None:
    """Raises TypeError where a value is of another type."""
    if not all(type(value) is kind for value in values):
        raise TypeError(f"not a row of an index: {kind.__name__} expected")
