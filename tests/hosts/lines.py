"""A WebUI's queue as its jobs meet it: the lock lets one through after the other, in the order they came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field


class FairLock:
    """Behaves like A1111's: who waits longest is woken, then has to take the lock before others do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._door = threading.Lock()
        self._pending_threads: deque[threading.Event] = deque()

    def acquire(self, blocking: bool = True) -> bool:
        with self._door:
            if self._lock.acquire(False):
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._pending_threads.append(turn)
        turn.wait()
        return self._lock.acquire()

    def release(self) -> None:
        with self._door:
            if self._pending_threads:
                self._pending_threads.popleft().set()
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def is_free(self) -> bool:
        if self.acquire(blocking=False):
            self.release()
            return True
        return False


@dataclass
class Told:
    """What happened to a card, in order."""

    log: list[str] = field(default_factory=list)

    def of(self, name: str) -> int:
        return self.log.count(name)


@dataclass
class MadeResidents(Told):
    """The host's models: noted, and on the card or not."""

    is_on_card: bool = True
    error: Exception | None = None

    def leave(self) -> None:
        if self.error is not None:
            raise self.error
        if self.is_on_card:
            self.log.append("host leaves")
        self.is_on_card = False

    def come_back(self) -> None:
        if not self.is_on_card:
            self.log.append("host comes back")
        self.is_on_card = True


@dataclass
class MadeGuest:
    """A run, noted in the same log."""

    told: Told
    is_on_card: bool = True
    is_aside: bool = False

    def leave_card(self) -> None:
        self.told.log.append("run leaves")
        self.is_on_card = False

    def take_card(self) -> None:
        self.told.log.append("run takes")
        self.is_on_card = True

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class MadeLine:
    """Who waits, as A1111 tells it."""

    lock: FairLock
    announced: dict[str, float] = field(default_factory=dict)

    def tasks(self) -> list[str]:
        return list(self.announced)

    def is_anyone_there(self) -> bool:
        return bool(self.lock._pending_threads)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Started at once."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(is_so: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits for it; fails where it takes too long."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.002)
