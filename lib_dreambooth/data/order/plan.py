"""The whole run's order: which visits make up which step."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.order.batches import MicroBatch, Visit
from lib_dreambooth.data.order.epochs import ITEM, NUMBER, PARTNER, PARTNER_NUMBER, EpochMaker, Relation
from lib_dreambooth.settings.length import plan_epoch

# The epoch that is trained and the one that is prepared meanwhile.
EPOCHS_KEPT = 2


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """What decides the order of a run; without `rotate_classes` surplus class pictures are never used."""

    batch_size: int
    accumulation: int = 1
    processes: int = 1
    seed: int = 0
    relation: Relation = "off"
    rotate_classes: bool = True


class Plan:
    """Steps of a run as a pure function of items, their buckets and the settings.

    `items` may come in any order; they are put in that of their ids, so that renaming a file changes nothing.
    `weights` are the concepts' weights in the loss, 1 where none is given.
    """

    def __init__(
        self,
        items: Sequence[Item],
        buckets: Sequence[Pixels],
        settings: OrderSettings,
        weights: Mapping[int, float] | None = None,
    ) -> None:
        in_order = sorted(zip(items, buckets, strict=True), key=lambda pair: pair[0].id)
        self.items = tuple(item for item, _ in in_order)
        self.buckets = tuple(bucket for _, bucket in in_order)
        self.weights = dict(weights or {})
        self.settings = settings
        self._maker = EpochMaker(
            self.items, self.buckets, settings.relation, settings.rotate_classes, settings.seed
        )
        self.visits = self._maker.count()
        self.epoch = plan_epoch(
            tuple(self.visits.values()), settings.batch_size, settings.accumulation, settings.processes
        )
        self._epochs: dict[int, list[tuple[Pixels, np.ndarray]]] = {}
        self._lock = threading.Lock()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in every epoch."""
        return self.epoch.steps

    @property
    def num_class_visits(self) -> int:
        """Places of their own that class pictures take in an epoch; none where they stand beside."""
        own = self.settings.relation == "mixed"
        return sum(pool.count for pool in self._maker.pools) if own else 0

    def epoch_of(self, step: int) -> int:
        """The epoch that a step belongs to, both counted from 0."""
        return step // self.steps_per_epoch

    def step(self, number: int, class_weight: float = 1.0) -> list[MicroBatch]:
        """All micro-batches of a step, counted from 0, for all processes together."""
        epoch, place = divmod(number, self.steps_per_epoch)
        start = place * self.epoch.batches_per_step
        chosen = self._batches(epoch)[start : start + self.epoch.batches_per_step]
        # A class picture beside a training picture adds to the loss; one with a place of its own shares it.
        places = sum(len(rows) for _, rows in chosen)
        return [
            MicroBatch(number, epoch, size, self._visits(rows, places, class_weight)) for size, rows in chosen
        ]

    def steps(self, start: int, stop: int | None = None) -> Iterator[list[MicroBatch]]:
        """Steps from `start` up to, not with, `stop`; without it they never end."""
        number = start
        while stop is None or number < stop:
            yield self.step(number)
            number += 1

    def pairs_of_epoch(self, epoch: int) -> list[tuple[Item, Pixels]]:
        """Which pictures are needed at which size in an epoch: what a cache has to hold for it."""
        needed = set()
        for size, rows in self._batches(epoch):
            positions = np.concatenate([rows[:, ITEM], rows[:, PARTNER]])
            needed |= {(int(position), size) for position in positions if position >= 0}
        return [(self.items[position], size) for position, size in sorted(needed)]

    def _visits(self, rows: np.ndarray, places: int, class_weight: float) -> tuple[Visit, ...]:
        beside = rows[rows[:, PARTNER] >= 0]
        pairs = [*rows[:, [ITEM, NUMBER]].tolist(), *beside[:, [PARTNER, PARTNER_NUMBER]].tolist()]
        return tuple(self._visit(position, number, places, class_weight) for position, number in pairs)

    def _visit(self, position: int, number: int, places: int, class_weight: float) -> Visit:
        item = self.items[position]
        weight = self.weights.get(item.concept, 1.0) * (class_weight if item.is_class else 1.0)
        return Visit(item, number, weight / places)

    def _batches(self, epoch: int) -> list[tuple[Pixels, np.ndarray]]:
        with self._lock:
            if epoch not in self._epochs:
                batches = self._maker.batches(epoch, self.settings.batch_size)
                assert len(batches) == self.epoch.num_batches, "every epoch has the same number of batches"
                self._epochs[epoch] = batches
                for old in sorted(self._epochs, key=lambda kept: abs(kept - epoch))[EPOCHS_KEPT:]:
                    del self._epochs[old]
            return self._epochs[epoch]
