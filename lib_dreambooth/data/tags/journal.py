"""Undo for edits of the user's caption files.

One file per operation. Each change, with the bytes from before and after it, is on the disk before the file
itself is touched. So an operation that was cut off can be undone as well, and a file that somebody edited
since is recognised and left alone.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError, UserError

ENDING = ".edit.jsonl"
UNDONE = ".undone.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Change:
    """A file's bytes before and after; None where there is no file."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation as the list of what can be undone shows it."""

    number: int
    action: str
    changes: tuple[Change, ...]
    is_undone: bool


@dataclass(slots=True)
class Restored:
    """What undoing or redoing did: files put back, files that were so already, files edited since."""

    restored: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    edited_since: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every file is as it was meant to be."""
        return not self.edited_since and not self.failed


class Operation:
    """An open entry of the journal; `change` notes the changes and then makes them."""

    def __init__(self, path: Path, action: str) -> None:
        self.path = path
        self._action = action

    def change(self, changes: Sequence[Change]) -> dict[str, UserError]:
        """Makes the changes; those that failed come back by path, the others are done."""
        changes = [change for change in changes if change.before != change.after]
        if not changes:
            return {}
        self._note(changes)
        failed = {}
        for change in changes:
            try:
                if read_or_none(change.path) != change.before:
                    raise changed_meanwhile(change.path)
                put(change.path, change.after)
            except UserError as error:
                failed[change.path] = error
        return failed

    def _note(self, changes: Iterable[Change]) -> None:
        lines = [_line({"path": c.path, "before": _text(c.before), "after": _text(c.after)}) for c in changes]
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lines.insert(0, _line({"format": FORMAT, "action": self._action}))
            with self.path.open("ab") as file:
                file.write("".join(lines).encode("utf-8", "surrogatepass"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise files.unwritable(self.path, error) from error


class Journal:
    """A folder of operations, the newest with the highest number."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def begin(self, action: str) -> Operation:
        """A new operation; `action` is what the list of operations calls it. Writes nothing yet."""
        numbers = [number for number, _ in self._files()]
        return Operation(self.folder / f"{max(numbers, default=0) + 1:06d}{ENDING}", action)

    def entries(self) -> list[Entry]:
        """All operations that can be read, the newest first."""
        found = (self._read(number, path) for number, path in reversed(self._files()))
        return [entry for entry in found if entry is not None]

    def undo(self, number: int | None = None) -> tuple[Entry, Restored]:
        """Takes back one operation, by default the newest that is not undone."""
        return self._turn(number, undo=True)

    def redo(self, number: int | None = None) -> tuple[Entry, Restored]:
        """Makes an undone operation again, by default the one that was undone last."""
        return self._turn(number, undo=False)

    def forget(self, keep: int) -> int:
        """Removes all but the newest `keep` operations; how many went."""
        stale = self._files()[: -keep or None]
        for _, path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _turn(self, number: int | None, undo: bool) -> tuple[Entry, Restored]:
        able = [entry for entry in self.entries() if entry.is_undone != undo]
        # Undo goes back from the newest; redo goes forward from the oldest that was undone.
        wanted = able if undo else able[::-1]
        entry = next((e for e in wanted if number in (None, e.number)), None)
        if entry is None:
            word = "undo" if undo else "do again"
            raise UserError(f"there is nothing to {word}.", where=str(self.folder), code="nothing-to-undo")
        result = restore(entry.changes, undo)
        if result.is_complete:
            old, new = (ENDING, UNDONE) if undo else (UNDONE, ENDING)
            name = f"{entry.number:06d}"
            files.replace(self.folder / (name + old), self.folder / (name + new))
        return entry, result

    def _files(self) -> list[tuple[int, Path]]:
        if not self.folder.is_dir():
            return []
        found = []
        for path in self.folder.iterdir():
            number, _, ending = path.name.partition(".")
            if number.isdecimal() and "." + ending in (ENDING, UNDONE):
                found.append((int(number), path))
        return sorted(found)

    def _read(self, number: int, path: Path) -> Entry | None:
        try:
            lines = path.read_bytes().decode("utf-8", "surrogatepass").split("\n")
        except (OSError, UnicodeDecodeError):
            return None
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                # The end of an operation that was cut off: its file was not touched yet.
                break
        if not records or not isinstance(records[0], dict) or "action" not in records[0]:
            return None
        changes = tuple(Change(r["path"], _bytes(r["before"]), _bytes(r["after"])) for r in records[1:])
        return Entry(number, records[0]["action"], changes, path.name.endswith(UNDONE))


def restore(changes: Sequence[Change], undo: bool) -> Restored:
    """Puts back every file that is still as the operation left it (or, for redo, as it was before it)."""
    result = Restored()
    for change in reversed(changes) if undo else changes:
        goal, expected = (change.before, change.after) if undo else (change.after, change.before)
        try:
            now = read_or_none(change.path)
            if now == goal:
                result.unchanged.append(change.path)
            elif now != expected:
                result.edited_since.append(change.path)
            else:
                put(change.path, goal)
                result.restored.append(change.path)
        except UserError as error:
            result.failed[change.path] = error.sentence()
    return result


def read_or_none(path: str) -> bytes | None:
    """A file's bytes, None where there is no file; any other trouble is a FileError."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(f"cannot be read ({reason}).", where=path) from error


def put(path: str, data: bytes | None) -> None:
    """Writes a file whole, or removes it for None."""
    if data is not None:
        files.write_bytes(path, data)
        return
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise files.unwritable(Path(path), error) from error


def changed_meanwhile(path: str) -> FileError:
    """The sentence for a file that somebody edited between looking and writing."""
    return FileError(
        "was changed by another program in the meantime and was left as it is.",
        where=path,
        todo="Look again and repeat the edit.",
        code="changed-meanwhile",
    )


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=True) + "\n"


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
