"""Reading events.jsonl: all, from a number on, the last ones, or as they come. Large files from the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.runs.events import Event, Started, from_line

BLOCK_BYTES = 1 << 16
POLL_S = 0.2


def read_events(path: Path, after: int = 0) -> list[Event]:
    """Events with a number above `after`; damaged lines are passed over, a missing file has none."""
    return Follower(path, after).poll()


def last_event(path: Path) -> Event | None:
    """The last event that was written whole."""
    return next(from_the_end(path), None)


def last_events(path: Path, count: int) -> list[Event]:
    """The last so many events, oldest first."""
    found = [event for event, _ in zip(from_the_end(path), range(count), strict=False)]
    return found[::-1]


def events_of_run(path: Path, run_id: str = "") -> list[Event]:
    """The events of a run (the last one if none is named), from its first start to the end of its last.

    A run that was gone on with has several starts with the same id.
    """
    events = read_events(path)
    starts = [number for number, event in enumerate(events) if isinstance(event, Started)]
    if not starts:
        return []
    wanted = run_id or _started(events[starts[-1]]).run_id
    found: list[Event] = []
    for begin, end in zip(starts, [*starts[1:], len(events)], strict=True):
        if _started(events[begin]).run_id == wanted:
            found += events[begin:end]
    return found


def _started(event: Event) -> Started:
    assert isinstance(event, Started)
    return event


def from_the_end(path: Path) -> Iterator[Event]:
    """Events, newest first, read in blocks backwards; what stands behind the last line end is left out."""
    for _, line in _lines_backwards(path):
        event = from_line(line)
        if event is not None:
            yield event


def torn_tail(path: Path) -> int:
    """How many bytes stand behind the last line end: a line that broke off."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            return end - _last_line_end(file, end)
    except FileNotFoundError:
        return 0


class Follower:
    """Hands out what was added to a log since the last look, beginning after a sequence number."""

    def __init__(self, path: Path, after: int = 0) -> None:
        self.path = path
        self.after = after
        self._offset: int | None = None

    def poll(self) -> list[Event]:
        """New events in their order; never half a line."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, 2)
                if self._offset is None or self._offset > end:
                    # The file became shorter: the writer took away a line that broke off, or it is new.
                    self._offset = _offset_after(self.path, self.after)
                file.seek(self._offset)
                data = file.read(end - self._offset)
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = [event for line in whole.splitlines() if (event := from_line(line)) is not None]
        new = [event for event in found if event.sequence > self.after]
        if new:
            self.after = new[-1].sequence
        return new

    def follow(self, is_over: Callable[[], bool], poll_s: float = POLL_S) -> Iterator[Event]:
        """Events as they come, until `is_over` says so and nothing is left."""
        while True:
            over = is_over()
            yield from self.poll()
            if over:
                return
            time.sleep(poll_s)


def _offset_after(path: Path, after: int) -> int:
    """Where the first event above a number begins."""
    if after <= 0:
        return 0
    for offset, line in _lines_backwards(path):
        event = from_line(line)
        if event is not None and event.sequence <= after:
            return offset + len(line) + 1
    return 0


def _lines_backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines without their ends, and where they begin, last first."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        position = _last_line_end(file, file.seek(0, 2))
        rest = b""
        while position > 0:
            begin = max(0, position - BLOCK_BYTES)
            file.seek(begin)
            # `rest` is the beginning of a line whose end was read before.
            data = file.read(position - begin) + rest
            lines = data.split(b"\n")
            offset = begin + len(data)
            for line in reversed(lines[1:]):
                offset -= len(line)
                if line:
                    yield offset, line
                offset -= 1
            rest = lines[0]
            position = begin
        if rest:
            yield 0, rest


def _last_line_end(file: BinaryIO, end: int) -> int:
    """The offset behind the last line end."""
    position = end
    while position > 0:
        begin = max(0, position - BLOCK_BYTES)
        file.seek(begin)
        found = file.read(position - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        position = begin
    return 0
