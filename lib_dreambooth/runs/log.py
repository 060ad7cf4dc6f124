"""events.jsonl: one line per event, only ever added to, and everybody who wants to hear them."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from lib_dreambooth.base.files import unwritable
from lib_dreambooth.runs.events import Event, Finished, Saved, Warned, to_line
from lib_dreambooth.runs.reading import last_event, torn_tail

log = logging.getLogger(__name__)
Listener = Callable[[Event], None]


class EventLog:
    """Numbers events, writes them and tells listeners, in this order; safe to use from several threads.

    Neither a full disk nor a listener ends a run: the first failure of each is told once.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        # Listeners may emit in their turn.
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self._failed: list[Listener] = []
        self._is_broken = False
        self._file: BinaryIO | None = None
        last = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            repair(path)
            last = last_event(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            self._is_broken = True
            log.warning("%s", unwritable(path, error))
        self.sequence = last.sequence if last else 0

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends writing; listeners are forgotten."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._listeners.clear()
            self._failed.clear()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """From now on the listener hears every event; call what comes back to stop that."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def emit(self, event: Event) -> Event:
        """Gives the event its number and time, writes it, tells the listeners; gives it back as written."""
        with self._lock:
            self.sequence += 1
            stamped = dataclasses.replace(event, sequence=self.sequence, time=self._clock())
            self._write(stamped)
            for listener in tuple(self._listeners):
                self._tell(listener, stamped)
        return stamped

    def _write(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            line = to_line(event)
            # A line that broke off on a full disk is closed first, so that it costs itself only.
            data = b"\n" + line if self._is_broken else line
            written = self._file.write(data)
            if written is not None and written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._is_broken = False
            if isinstance(event, (Saved, Finished)):
                os.fsync(self._file.fileno())
        except OSError as error:
            if not self._is_broken:
                log.warning("%s", unwritable(self.path, error))
            self._is_broken = True

    def _tell(self, listener: Listener, event: Event) -> None:
        try:
            listener(event)
        except Exception as error:  # of others: whatever it raises, the run goes on
            if listener in self._failed:
                return
            self._failed.append(listener)
            log.exception("a listener of events failed")
            name = getattr(listener, "__qualname__", type(listener).__name__)
            text = f"something that follows this run failed and may miss parts of it: {error}"
            self.emit(Warned(text=text, where=name, code="listener-failed"))


def repair(path: Path) -> int:
    """Takes away a last line that broke off when a writer was killed; gives the bytes taken."""
    torn = torn_tail(path)
    if torn:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - torn)
    return torn
