"""The scale on the loss that keeps small gradients alive in float16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

START = 65536.0
GROWTH_STEPS = 2000
SMALLEST = 2.0**-10
LARGEST = 2.0**24


@dataclass
class LossScale:
    """A power of two: halved when gradients overflow, doubled after a long time without.

    Multiply the loss by `value` before the backward pass, give it to `Optimizer.clip`, and tell `update`
    whether the norm was finite; a step whose norm was not is left out.
    """

    value: float = START
    good_steps: int = 0
    growth_steps: int = GROWTH_STEPS

    def update(self, is_finite: bool) -> None:
        """Takes in how a step went."""
        if not is_finite:
            self.value /= 2
            self.good_steps = 0
            return
        self.good_steps += 1
        if self.good_steps >= self.growth_steps:
            self.value = min(self.value * 2, LARGEST)
            self.good_steps = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether no scale helps: the loss itself is no number, not its gradients too large."""
        return self.value < SMALLEST

    def state(self) -> dict[str, float]:
        return {"value": self.value, "good_steps": self.good_steps}

    def load(self, state: Mapping[str, float]) -> None:
        self.value, self.good_steps = float(state["value"]), int(state["good_steps"])
