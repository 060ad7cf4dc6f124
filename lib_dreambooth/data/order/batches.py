"""What a step is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.item import Item


@dataclass(frozen=True, slots=True)
class Visit:
    """One picture in one batch. All that is drawn for it is keyed by its item's id and `number`.

    The loss of a step is the sum of `share` times the loss of each visit, over all its batches and processes.
    """

    item: Item
    number: int
    share: float


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Visits that go through the model together; they all have the size (width, height)."""

    step: int
    epoch: int
    size: Pixels
    visits: tuple[Visit, ...]

    @property
    def is_idle(self) -> bool:
        """True where it only keeps a process in time with the others and must move nothing."""
        return all(visit.share == 0 for visit in self.visits)


def split(batches: Sequence[MicroBatch], process: int, processes: int) -> list[MicroBatch]:
    """One process's part of a step: every process gets the same number of batches, idle ones included."""
    rounds = -(-len(batches) // processes)
    return [
        batches[place] if place < len(batches) else idle(batches[place % len(batches)])
        for place in range(process, rounds * processes, processes)
    ]


def idle(batch: MicroBatch) -> MicroBatch:
    """The same batch with no say in the loss."""
    return replace(batch, visits=tuple(replace(visit, share=0.0) for visit in batch.visits))


def fixed_batches(
    items: Sequence[Item], buckets: Sequence[Pixels], batch_size: int, step: int = 0, epoch: int = 0
) -> list[MicroBatch]:
    """Every item once, bucket after bucket, in an order that never changes: for measuring."""
    total = len(items)
    by_bucket: dict[Pixels, list[Item]] = {}
    for bucket, item in sorted(zip(buckets, items, strict=True), key=lambda pair: (pair[0], pair[1].id)):
        by_bucket.setdefault(bucket, []).append(item)
    return [
        MicroBatch(
            step, epoch, size, tuple(Visit(item, 0, 1 / total) for item in members[k : k + batch_size])
        )
        for size, members in by_bucket.items()
        for k in range(0, len(members), batch_size)
    ]
