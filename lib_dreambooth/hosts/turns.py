"""Who has the card: a run gives it up between two steps to whoever waits, and takes it again.

All jobs of a WebUI pass one lock. A run holds it, too, but gives it up again and again: for good measure at
fixed times, at once where somebody is seen to wait. Giving it up only for those who are seen starves them:
the next one in the line is taken out of it before it runs.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from lib_dreambooth.base.host import Guest

# Between two turns where nobody is seen to wait, and how long the lock is left alone in one: a thread that
# is woken needs longer on a busy machine, and a job that was announced is waited for.
INTERVAL_S, APART_S, WOKEN_S, ANNOUNCED_S = 0.25, 0.006, 0.03, 0.3
# A task that is still announced after so many turns will never come: its request failed before the lock.
PATIENCE = 3
LOOK_S = 0.3


class Lock(Protocol):
    """What all jobs of a host pass. It may be given up in another thread than it was taken in."""

    def acquire(self) -> object: ...

    def release(self) -> None: ...


class Residents(Protocol):
    """What the host has on the card. Calls may repeat, and cost little where nothing is due."""

    def leave(self) -> None: ...

    def come_back(self) -> None: ...


class Line(Protocol):
    """Who waits for the lock, as far as the host tells."""

    def tasks(self) -> Collection[str]:
        """Jobs that are announced and will need the card."""

    def is_anyone_there(self) -> bool: ...


class Turns:
    """The lock and the card between one run and the host's own jobs.

    `model_lock` is what the host holds while it builds a model outside of its queue; no two may at once.
    """

    def __init__(
        self,
        queue_lock: Lock,
        residents: Residents,
        line: Line,
        is_training_first: Callable[[], bool] = lambda: False,
        model_lock: Lock | None = None,
    ) -> None:
        self.residents = residents
        self.line = line
        self.is_training_first = is_training_first
        self._queue_lock = queue_lock
        self._locks = [queue_lock] if model_lock is None else [queue_lock, model_lock]
        self._changed = threading.Condition()
        self._is_lent = False
        self._is_away = False
        # Set while the lock is given up between two steps.
        self._guest: Guest | None = None
        self._has_left = False
        self._last = 0.0
        self._announced: Counter[str] = Counter()

    @property
    def is_training(self) -> bool:
        """Whether a run has the card: pauses do not count."""
        return self._is_lent and not self._is_away

    @property
    def makes_wait(self) -> bool:
        """Whether pictures wait for the end of a run."""
        return self.is_training and self.is_training_first()

    @contextmanager
    def lend(self) -> Iterator[None]:
        """The lock is held and the host's models are away for this block; they come back in any ending."""
        self._acquire()
        try:
            self.residents.leave()
            self._announced.clear()
            # What was announced before is past.
            self.line.tasks()
            self._last = time.monotonic()
            self._is_lent = True
            yield
        finally:
            self._is_lent = False
            try:
                self.residents.come_back()
            finally:
                self._release()
                self._tell()

    def yield_point(self, guest: Guest) -> None:
        """Between two steps, in the thread of the run."""
        is_asked = self._is_card_asked_for()
        is_time = time.monotonic() - self._last >= INTERVAL_S
        is_seen = is_asked or self.line.is_anyone_there()
        if not (is_seen or is_time):
            return
        with guest.aside():
            if is_asked:
                self._hand_over(guest)
            self._step_back(guest, WOKEN_S if is_seen else APART_S, ANNOUNCED_S if is_asked else 0.0)
            self.residents.leave()
        if self._has_left:
            guest.take_card()
            self._has_left = False
        self._last = time.monotonic()

    @contextmanager
    def away(self, guest: Guest) -> Iterator[None]:
        """A pause: lock and card are the host's."""
        with guest.aside():
            guest.leave_card()
            self.residents.come_back()
            self._is_away = True
            self._release()
            self._tell()
            try:
                yield
            finally:
                self._acquire()
                self._is_away = False
                self.residents.leave()
        guest.take_card()
        self._last = time.monotonic()

    def before_picture(
        self, waits: Callable[[], None] = lambda: None, gives_up: Callable[[], bool] = lambda: False
    ) -> bool:
        """In the thread of a picture, which has the lock: it gets the card, maybe after the run has ended.

        While it waits it does not hold the lock, and `waits` is called again and again. Gives whether it had
        to wait.
        """
        waited = False
        while self.makes_wait and not gives_up():
            waited = True
            self._queue_lock.release()
            try:
                self._wait(waits, gives_up)
            finally:
                self._queue_lock.acquire()
        # The run stands still: it waits for the lock, which this thread holds.
        if self._guest is not None and not self._has_left:
            self._hand_over(self._guest)
        return waited

    def _wait(self, waits: Callable[[], None], gives_up: Callable[[], bool]) -> None:
        with self._changed:
            while self.makes_wait and not gives_up():
                waits()
                self._changed.wait(LOOK_S)

    def _is_card_asked_for(self) -> bool:
        tasks = self.line.tasks()
        if not tasks:
            self._announced.clear()
            return False
        self._announced.update(tasks)
        return any(self._announced[task] <= PATIENCE for task in tasks)

    def _hand_over(self, guest: Guest) -> None:
        self._has_left = True
        guest.leave_card()
        self.residents.come_back()

    def _step_back(self, guest: Guest, at_least_s: float, announced_s: float) -> None:
        self._guest = guest
        announced = set(self.line.tasks())
        begun = time.monotonic()
        self._release()
        try:
            time.sleep(at_least_s)
            while time.monotonic() - begun < announced_s and announced & set(self.line.tasks()):
                time.sleep(APART_S)
        finally:
            self._acquire()
            self._guest = None

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _acquire(self) -> None:
        for lock in self._locks:
            lock.acquire()

    def _release(self) -> None:
        for lock in reversed(self._locks):
            lock.release()
