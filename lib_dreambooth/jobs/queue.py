"""The queue on the disk: runs in the order they are wanted, whole after any kill, shared by processes."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.environments.exclusive import acquire
from lib_dreambooth.jobs.entries import (
    BROKEN_OFF,
    ENDED,
    RUNNING,
    WAITING,
    Entry,
    finished,
    from_json,
    new_entry,
    this_process,
    to_json,
)
from lib_dreambooth.runs.folder import utc_now

log = logging.getLogger(__name__)
# Begins with a point, which no model's name does.
FOLDER, FILE, LOCK = ".queue", "queue.json", "queue.lock"
VERSION = 1
KEPT_ENDED = 50
MOST_WAITING = 200
WAIT_S, POLL_S = 10.0, 0.02


@dataclass(frozen=True)
class Line:
    """All entries in their order, and whether the line stops after the current one."""

    entries: tuple[Entry, ...] = ()
    stops: bool = False

    def of(self, entry_id: str) -> Entry:
        """The entry of an id; raises UserError."""
        found = next((entry for entry in self.entries if entry.id == entry_id), None)
        if found is None:
            raise UserError(
                "this is not in the queue (any more).",
                where=entry_id[:40],
                todo="Look at the queue again.",
                code="no-such-entry",
            )
        return found

    def with_entry(self, entry: Entry) -> Line:
        """The same line with another entry of this id."""
        return replace(self, entries=tuple(entry if one.id == entry.id else one for one in self.entries))

    @property
    def waiting(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.status == WAITING]


class Queue:
    """The queue of a folder of models. Every change is read, made and written under a lock of the system."""

    def __init__(self, models_root: Path) -> None:
        self.folder = Path(models_root) / FOLDER
        self.path = self.folder / FILE
        self._within = threading.Lock()

    def line(self) -> Line:
        """Everything in it; what makes no sense is passed over."""
        return self._read()[0]

    def _read(self) -> tuple[Line, bool]:
        """Everything in it, and whether the file makes sense as a whole or may be absent."""
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            entries, stops = list(data["entries"]), data.get("stops") is True
        except FileNotFoundError:
            return Line(), True
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("%s cannot be read: %s", self.path, error)
            return Line(), False
        found = []
        for one in entries:
            with contextlib.suppress(ValueError):
                found.append(from_json(one))
        return Line(tuple(found), stops), True

    def entry(self, entry_id: str) -> Entry:
        """The entry of an id; raises UserError."""
        return self.line().of(entry_id)

    def add(self, entry: Entry) -> Entry:
        """Puts it behind all others; raises UserError where there is no end of them."""
        with self._changing() as change:
            line = change.line
            if len(line.waiting) >= MOST_WAITING:
                raise UserError(
                    f"{MOST_WAITING} runs are waiting already.", todo="Remove some first.", code="queue-full"
                )
            change.line = replace(line, entries=(*line.entries, entry))
        return entry

    def duplicate(self, entry_id: str, changed: Callable[[Entry], Entry]) -> Entry:
        """Puts what `changed` makes of an entry behind all others, as a new one."""
        old = self.entry(entry_id)
        values = {
            "settings": old.settings,
            "changes": old.changes,
            "more_steps": old.more_steps,
            "makes": old.makes,
        }
        return self.add(changed(new_entry(old.model, old.action, **values)))

    def move(self, entry_id: str, place: int) -> None:
        """Puts a waiting entry at a place among those that wait, counted from 0."""
        with self._changing() as change:
            entry = require_waiting(change.line.of(entry_id))
            others = [one for one in change.line.waiting if one.id != entry.id]
            others.insert(max(0, min(place, len(others))), entry)
            rest = [one for one in change.line.entries if one.status != WAITING]
            change.line = replace(change.line, entries=(*rest, *others))

    def remove(self, entry_id: str) -> None:
        """Takes out what waits or is over; raises UserError for what is under way."""
        with self._changing() as change:
            entry = change.line.of(entry_id)
            if entry.status == RUNNING and not entry.is_lost:
                raise UserError(
                    "this run is under way.", where=entry.model, todo="Cancel it instead.", code="is-running"
                )
            left = tuple(one for one in change.line.entries if one.id != entry_id)
            change.line = replace(change.line, entries=left)

    def stop_after(self, stops: bool) -> None:
        """Whether what waits is held back when the current run has ended."""
        with self._changing() as change:
            change.line = replace(change.line, stops=stops)

    def release(self, entry_id: str = "") -> None:
        """Lets this process begin what was held back: one entry, or all."""
        me = this_process()
        with self._changing() as change:
            if entry_id:
                require_waiting(change.line.of(entry_id))
            entries = tuple(
                replace(one, owner=me) if one.is_held and entry_id in ("", one.id) else one
                for one in change.line.entries
            )
            change.line = Line(entries)

    def take(self) -> Entry | None:
        """The next entry of this process, now under way; None where there is none."""
        with self._changing() as change:
            line = settled(change.line)
            if line.stops:
                entries = tuple(
                    replace(one, owner=None) if one.status == WAITING and one.is_mine else one
                    for one in line.entries
                )
                line = Line(entries)
            found = next((one for one in line.waiting if one.is_mine), None)
            if found is not None:
                found = replace(found, status=RUNNING, began=utc_now(), owner=this_process())
                line = line.with_entry(found)
            change.line = line
        return found

    def update(self, entry: Entry) -> None:
        """Writes what became of an entry; one that was taken out meanwhile stays out."""
        with self._changing() as change:
            change.line = change.line.with_entry(entry)

    def settle(self) -> None:
        """Notes what broke off with its process; where that cannot be written, the next change does."""
        if any(entry.is_lost for entry in self.line().entries):
            with contextlib.suppress(UserError), self._changing() as change:
                change.line = settled(change.line)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Change]:
        with self._within, self._locked():
            before, is_whole = self._read()
            change = Change(before)
            yield change
            if change.line == before:
                return
            if not is_whole:
                # Somebody may still want to look at it.
                files.replace(self.path, self.path.with_suffix(".damaged"))
            self._write(change.line)

    def _write(self, line: Line) -> None:
        ended = [entry.id for entry in line.entries if entry.status == ENDED]
        stale = set(ended[:-KEPT_ENDED])
        entries = [to_json(entry) for entry in line.entries if entry.id not in stale]
        files.write_json(self.path, {"version": VERSION, "stops": line.stops, "entries": entries})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.unwritable(self.folder, error) from error
        end = time.monotonic() + WAIT_S
        file = acquire(self.folder / LOCK)
        while file is None:
            if time.monotonic() > end:
                raise FileError(
                    "the queue is held by another program.",
                    where=str(self.path),
                    todo="Try again; close other programs that train here.",
                    code="queue-in-use",
                )
            time.sleep(POLL_S)
            file = acquire(self.folder / LOCK)
        try:
            yield
        finally:
            file.close()


@dataclass
class Change:
    """A line while it is changed."""

    line: Line


def settled(line: Line) -> Line:
    """The line in which whatever lost its process is over."""
    entries = tuple(finished(one, BROKEN_OFF) if one.is_lost else one for one in line.entries)
    return replace(line, entries=entries)


def require_waiting(entry: Entry) -> Entry:
    """The entry, if it waits; raises UserError."""
    if entry.status != WAITING:
        what = "is under way." if entry.status == RUNNING else "is over."
        raise UserError(
            f"this run {what}", where=entry.model, todo="Look at the queue again.", code="not-waiting"
        )
    return entry
