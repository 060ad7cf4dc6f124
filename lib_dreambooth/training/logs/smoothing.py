"""The smooth loss curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Smoothed:
    """The plain mean of the first `num_steps` values, then an average that forgets at that pace.

    So it begins at once and needs two numbers to go on from. A value that is no number is left out.
    """

    def __init__(self, num_steps: int) -> None:
        assert num_steps >= 1
        self.num_steps = num_steps
        self.value = 0.0
        self.count = 0

    def add(self, value: float) -> float:
        """Takes a step's loss in; gives the smooth one."""
        if value - value == 0:  # neither infinite nor nan
            self.count = min(self.count + 1, self.num_steps)
            self.value += (value - self.value) / self.count
        return self.value

    def state(self) -> dict[str, Any]:
        """What `load` needs."""
        return {"value": self.value, "count": self.count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`; a shorter memory than before counts from now on."""
        self.value = float(state["value"])
        self.count = min(int(state["count"]), self.num_steps)
