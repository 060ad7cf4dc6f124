"""How far a phase is, as often as anybody can read it: ten thousand pictures are not ten thousand lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from lib_dreambooth.runs.events import Event, Phase

# So many times in a phase, and all the same after so long.
TIMES = 100
QUIET_S = 1.0


class Telling:
    """Gives each hundredth of a phase to `emit`, its beginning and end, and what comes after a second."""

    def __init__(self, emit: Callable[[Event], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.emit = emit
        self._clock = clock
        self._last = ("", 0)
        self._at = 0.0

    def __call__(self, name: str, done: int, total: int) -> None:
        now, place = self._clock(), (name, done * TIMES // max(total, 1))
        is_end = done in (0, total)
        if not is_end and total > TIMES and place == self._last and now - self._at < QUIET_S:
            return
        self._last, self._at = place, now
        self.emit(Phase(name=name, done=done, total=total))
