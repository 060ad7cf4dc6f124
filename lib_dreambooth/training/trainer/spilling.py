"""Whether a card's driver has begun to put memory elsewhere: Windows does so silently, and steps crawl."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

# A card is full where less than this of it is free; a jump is so many times the usual time, twice running.
FULL = 0.03
JUMP = 3.0
STEPS_SEEN, IN_A_ROW = 8, 2


def has_spilled(earlier: Sequence[float], latest: Sequence[float], free: int, total: int) -> bool:
    """Whether the latest steps, in seconds, took far longer than the earlier ones with the card full."""
    if total <= 0 or free > FULL * total or len(earlier) < STEPS_SEEN or len(latest) < IN_A_ROW:
        return False
    return min(latest[-IN_A_ROW:]) > JUMP * statistics.median(earlier)


@dataclass
class Watch:
    """The times of the last steps."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=4 * STEPS_SEEN))

    def add(self, seconds: float, free: int, total: int) -> bool:
        """Counts a step in; whether memory has spilled. After that it begins anew."""
        self.times.append(seconds)
        times = list(self.times)
        found = has_spilled(times[:-IN_A_ROW], times[-IN_A_ROW:], free, total)
        if found:
            self.times.clear()
        return found
