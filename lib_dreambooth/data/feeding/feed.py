"""The steps of one process as whatever is made of their micro-batches, ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from lib_dreambooth.data.ahead import ahead
from lib_dreambooth.data.order.batches import MicroBatch, split
from lib_dreambooth.data.order.plan import Plan

Made = TypeVar("Made")


def feed(
    plan: Plan,
    make: Callable[[MicroBatch], Made],
    start: int,
    stop: int | None = None,
    *,
    process: int = 0,
    workers: int = 1,
    depth: int = 0,
    class_weight: Callable[[int], float] = lambda step: 1.0,
) -> Generator[list[Made], None, None]:
    """Steps from `start` up to, not with, `stop`, each a list of what `make` gives for its micro-batches.

    `workers` threads make up to `depth` micro-batches ahead; how many changes nothing about what comes out.
    """
    sizes: list[int] = []

    def batches() -> Iterator[MicroBatch]:
        number = start
        while stop is None or number < stop:
            own = split(plan.step(number, class_weight(number)), process, plan.settings.processes)
            sizes.append(len(own))
            yield from own
            number += 1

    gathered: list[Made] = []
    for made in ahead(make, batches(), workers, depth):
        gathered.append(made)
        if len(gathered) == sizes[0]:
            yield gathered
            gathered = []
            del sizes[0]
