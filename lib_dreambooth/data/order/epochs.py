"""One epoch: every training picture as often as its repeats, its class pictures, in a drawn order.

A bucket's visits are rows of four whole numbers: the position of the item, the number of the visit, and the
same of the class picture that goes beside it (-1 where none does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.order.class_places import Pool, deal, own_places, pools_of, seat
from lib_dreambooth.diffusion.draws import Draw

Relation = Literal["off", "mixed", "beside"]
ITEM, NUMBER, PARTNER, PARTNER_NUMBER = range(4)


@dataclass(frozen=True)
class EpochMaker:
    """Makes any epoch from its number. `buckets` are the items' own, in their order."""

    items: tuple[Item, ...]
    buckets: tuple[Pixels, ...]
    relation: Relation
    rotate_classes: bool
    seed: int

    @property
    def pools(self) -> list[Pool]:
        """The class pictures that take part."""
        return [] if self.relation == "off" else pools_of(self.items)

    def count(self) -> dict[Pixels, int]:
        """How many visits each bucket has in every epoch; those that stand beside others are not counted."""
        visits: Counter[Pixels] = Counter()
        for bucket, item in zip(self.buckets, self.items, strict=True):
            if not item.is_class:
                visits[bucket] += item.repeats
        if self.relation == "mixed":
            for pool in self.pools:
                visits.update(own_places(pool, self.items, self.buckets, self.rotate_classes))
        return dict(sorted(visits.items()))

    def batches(self, epoch: int, batch_size: int) -> list[tuple[Pixels, np.ndarray]]:
        """The epoch's batches in their drawn order, each with its size and its rows."""
        cut = []
        for bucket, rows in sorted(self.rows(epoch).items()):
            order = Draw(self.seed, "order", *bucket, epoch).permutation(len(rows))
            cut += [(bucket, rows[order[k : k + batch_size]]) for k in range(0, len(rows), batch_size)]
        return [cut[place] for place in Draw(self.seed, "order of batches", epoch).permutation(len(cut))]

    def rows(self, epoch: int) -> dict[Pixels, np.ndarray]:
        """Every bucket's visits, before they are put in an order."""
        filled = training_rows(self.items, self.buckets, epoch)
        for pool in self.pools:
            dealt, numbers = deal(pool, self.items, epoch, self.seed, self.rotate_classes)
            served = {bucket: serves(pool, self.items, rows) for bucket, rows in filled.items()}
            if self.relation == "mixed":
                places = own_places(pool, self.items, self.buckets, self.rotate_classes)
            else:
                places = {bucket: int(mask.sum()) for bucket, mask in served.items()}
            draw = Draw(self.seed, "class seats", pool.number, epoch)
            for bucket, seats in seat(dealt, self.buckets, places, draw).items():
                if self.relation == "mixed":
                    more = alone(dealt[seats], numbers[seats])
                    filled[bucket] = np.concatenate([filled[bucket], more]) if bucket in filled else more
                else:
                    filled[bucket][served[bucket], PARTNER] = dealt[seats]
                    filled[bucket][served[bucket], PARTNER_NUMBER] = numbers[seats]
        return filled


def training_rows(items: Sequence[Item], buckets: Sequence[Pixels], epoch: int) -> dict[Pixels, np.ndarray]:
    """The visits of all training pictures by bucket; a picture's visits are counted on through the epochs."""
    by_bucket: dict[Pixels, list[int]] = {}
    for position, item in enumerate(items):
        if not item.is_class:
            by_bucket.setdefault(buckets[position], []).append(position)
    filled = {}
    for bucket, positions in by_bucket.items():
        repeats = np.array([items[position].repeats for position in positions])
        copies = np.concatenate([np.arange(count) for count in repeats])
        filled[bucket] = alone(np.repeat(positions, repeats), copies + epoch * np.repeat(repeats, repeats))
    return filled


def alone(item: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Rows with nothing beside them."""
    nothing = np.full(len(item), -1, dtype=np.int64)
    return np.stack([item.astype(np.int64), number.astype(np.int64), nothing, nothing], axis=1)


def serves(pool: Pool, items: Sequence[Item], rows: np.ndarray) -> np.ndarray:
    """True for the rows of training pictures that the pool's class pictures go with."""
    return np.array(
        [items[k].concept in pool.concepts and not items[k].is_class for k in rows[:, ITEM]], dtype=bool
    )
