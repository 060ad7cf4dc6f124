"""How fast this machine is: measured once, kept, and used for how long steps take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lib_dreambooth.forecast.meter import Work

SIDE = {"cpu": 512, "cuda": 4096, "mps": 2048}
COPIED = {"cpu": 1 << 24, "cuda": 1 << 27, "mps": 1 << 25}
SMALL_CALLS = 400
SECONDS = 0.15
# Convolutions and products of a network do not come up to one large product's rate.
OF_PEAK = 0.6


@dataclass(frozen=True)
class Speed:
    """Operations a second in matrix products, bytes a second, and seconds that a call takes at least."""

    matrix: float
    bandwidth: float
    call: float

    def seconds(self, work: Work, kind: str) -> float:
        """How long the work takes: a card works while it is told what comes next, a CPU does not."""
        own = work.matrix / (self.matrix * OF_PEAK) + work.traffic / self.bandwidth
        told = work.calls * self.call
        return max(own, told) if kind == "cuda" else own + told

    def to_json(self) -> dict[str, float]:
        """For the file that it is kept in."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Speed | None:
        """None for what is no speed."""
        try:
            found = cls(*(float(data[name]) for name in ("matrix", "bandwidth", "call")))
        except (TypeError, KeyError, ValueError):
            return None
        return found if min(found.matrix, found.bandwidth, found.call) > 0 else None


def measured(device: torch.device, dtype: torch.dtype) -> Speed:
    """The speed of a device, in about half a second."""
    kind = device.type if device.type in SIDE else "cpu"
    side, count = SIDE[kind], COPIED[kind]
    with torch.inference_mode(False), torch.no_grad():
        a = torch.ones(side, side, dtype=dtype, device=device)
        product = _rate(lambda: a @ a, device)
        values = torch.ones(count // 4, device=device)
        copied = _rate(lambda: values + 1.0, device)
        small = torch.ones(8, device=device)
        calls = _rate(lambda: [small + 1.0 for _ in range(SMALL_CALLS)], device)
    return Speed(2.0 * side**3 * product, 2.0 * count * copied, 1.0 / (SMALL_CALLS * calls))


def _rate(do: Callable[[], Any], device: torch.device) -> float:
    """How often a second; the first time does not count."""
    do()
    _wait(device)
    count, begun = 0, time.perf_counter()
    while True:
        do()
        count += 1
        if time.perf_counter() - begun >= SECONDS:
            break
        if device.type != "cpu" and count % 8 == 0:
            _wait(device)
    _wait(device)
    return count / (time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
