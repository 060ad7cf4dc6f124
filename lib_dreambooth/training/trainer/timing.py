"""When the regular things of a run fall due, by steps or by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lib_dreambooth.base.durations import AUTO, Duration, minutes
from lib_dreambooth.settings.due import is_due
from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.meaning import made
from lib_dreambooth.settings.schema import Run

# How often states are written where it is left to us: those of whole weights are large.
ADAPTER_STATE = minutes(5)
WHOLE_STATE = minutes(30)
SECONDS = 60.0


@dataclass
class Regular:
    """Something that happens every so often. The clock is one that nobody can set back."""

    every: Duration
    length: LengthPlan
    clock: Callable[[], float] = time.monotonic
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def is_due(self, step: int) -> bool:
        """Whether it falls due after so many steps; by the clock that counts as done."""
        if self.every.unit != "minutes":
            return is_due(self.every, step, self.length)
        if self.every.amount == 0 or self.clock() - self._last < self.every.amount * SECONDS:
            return False
        self._last = self.clock()
        return True


def state_interval(run: Run) -> Duration:
    """How often a state is written."""
    if run.saving.state_every != AUTO:
        return run.saving.state_every
    return WHOLE_STATE if "weights" in made(run) else ADAPTER_STATE
