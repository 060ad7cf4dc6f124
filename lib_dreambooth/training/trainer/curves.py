"""What a run tells about its steps: smoothed loss, speed, time left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch

from lib_dreambooth.runs.events import Step
from lib_dreambooth.training.logs.smoothing import Smoothed
from lib_dreambooth.training.trainer.awaited import Awaited, Stepped, known
from lib_dreambooth.training.trainer.ready import Ready

# Steps whose time the speed is taken from.
WINDOW = 50
SMOOTHED = "smoothing"


class Curves:
    """Turns steps into points of the curves."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self.smoothed = Smoothed(ready.run.logging.smoothing)
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._last: float | None = None
        self._unread: deque[Stepped | Awaited] = deque()

    def add(self, stepped: Stepped | Awaited) -> None:
        """Counts a step in. Raises UserError where it, or one before it, gave no numbers."""
        now = time.monotonic()
        if self._last is not None:
            self._times.append(now - self._last)
        self._last = now
        self._unread.append(stepped)
        while self._unread and is_here(self._unread[0]):
            self._read()

    def _read(self) -> None:
        self.smoothed.add(known(self._unread.popleft()).loss)

    def settle(self) -> None:
        """Waits for the numbers of all steps so far; raises UserError where they are none."""
        while self._unread:
            self._read()

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on with the smooth curve."""
        self.settle()
        return {SMOOTHED: self.smoothed.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`; begins anew where it knows nothing."""
        if SMOOTHED in state:
            self.smoothed.load(state[SMOOTHED])

    def rest(self) -> None:
        """What comes now is no step and does not count as one's time.

        It may keep or show what the steps made: raises UserError where they gave no numbers.
        """
        self._last = None
        self.settle()

    def leave_out(self, seconds: float) -> None:
        """So much of the time since the last step was none of its own."""
        if self._last is not None:
            self._last += seconds

    def is_due(self, step: int) -> bool:
        """Whether the step after which `step` are done is told; the first and the last always are."""
        return step == 1 or step == self.ready.length.total_steps or step % self.ready.run.logging.every == 0

    def event(self, taken: Stepped | Awaited) -> Step:
        """The point of the curves for a step."""
        self.settle()
        stepped = known(taken)
        done = stepped.step + 1
        seconds = sum(self._times) / len(self._times) if self._times else None
        total = self.ready.length.total_steps
        return Step(
            step=done,
            epoch=done / self.ready.length.epoch.steps,
            loss=stepped.loss,
            smoothed=self.smoothed.value,
            rates=self.ready.optimizer.effective_rates(),
            grad_norm=stepped.grad_norm if stepped.moved else None,
            steps_per_second=1 / seconds if seconds else None,
            seconds_left=None if seconds is None or total is None else seconds * (total - done),
            memory=memory(self.ready.device),
            weight_norms=finite({part: float(n) for part, n in self.ready.trained.norms().items()}),
        )


def is_here(stepped: Stepped | Awaited) -> bool:
    """Whether the numbers of a step can be read without waiting."""
    return not isinstance(stepped, Awaited) or stepped.is_here


def finite(values: Mapping[str, float]) -> Mapping[str, float]:
    """Those that are numbers: JSON has no others, and the next loss says what happened."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def memory(device: torch.device) -> Mapping[str, int]:
    """Bytes on the card by kind; nothing for a CPU."""
    if device.type != "cuda":
        return {}
    free, _ = torch.cuda.mem_get_info(device)
    return {
        "used": torch.cuda.memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
        "peak": torch.cuda.max_memory_reserved(device),
        "free": free,
    }
