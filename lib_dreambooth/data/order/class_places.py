"""Class pictures in an epoch: which of them, how often, and in which bucket.

Pictures are dealt from an endless tape: the whole set in a drawn order, then again in another order, and so
on. An epoch takes the next stretch of it, so that at no time one picture was seen more than a round oftener
than another, whether there are fewer or more of them than training pictures.

How many places each bucket has is the same in every epoch, so that an epoch always has the same steps. What
an epoch deals and its places are brought together in order of shape, which cuts off as little as possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib_dreambooth.data.buckets.sizes import Pixels, shape
from lib_dreambooth.data.item import Item
from lib_dreambooth.diffusion.draws import Draw


@dataclass(frozen=True)
class Pool:
    """Class pictures that serve some training concepts; `members` are their positions among all items.

    `count` places an epoch are theirs. `number` of `pools` keeps visits of a picture in several apart.
    """

    members: tuple[int, ...]
    concepts: frozenset[int]
    count: int
    number: int = 0
    pools: int = 1


def pools_of(items: Sequence[Item]) -> list[Pool]:
    """One pool for each set of training concepts that shares its class pictures, as many places as visits.

    A concept's own class pictures serve it; those of a concept without training pictures serve every concept
    that has none of its own, or all where each has its own.
    """
    visits: dict[int, int] = {}
    classes: dict[int, list[int]] = {}
    for position, item in enumerate(items):
        if item.is_class:
            classes.setdefault(item.concept, []).append(position)
        else:
            visits[item.concept] = visits.get(item.concept, 0) + item.repeats
    shared = [p for concept, positions in classes.items() if concept not in visits for p in positions]
    every_one_has_own = all(concept in classes for concept in visits)
    served: dict[tuple[int, ...], set[int]] = {}
    for concept in sorted(visits):
        members = classes.get(concept, []) + (shared if every_one_has_own or concept not in classes else [])
        if members:
            served.setdefault(tuple(sorted(members)), set()).add(concept)
    return [
        Pool(members, frozenset(concepts), sum(visits[c] for c in concepts), number, len(served))
        for number, (members, concepts) in enumerate(served.items())
    ]


def deal(
    pool: Pool, items: Sequence[Item], epoch: int, seed: int, rotate: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the class pictures of an epoch, and the number of each visit.

    Without `rotate` every epoch takes the first ones by name again, as kohya's scripts do.
    """
    members = pool.members if rotate else sorted(pool.members, key=lambda member: items[member].path)
    repeats = np.array([items[member].repeats for member in members])
    entries = np.repeat(np.arange(len(members)), repeats)
    copies = np.concatenate([np.arange(count) for count in repeats])
    if rotate:
        places = np.arange(epoch * pool.count, (epoch + 1) * pool.count)
        rounds, offsets = places // len(entries), places % len(entries)
        picked = np.empty(pool.count, dtype=np.int64)
        for turn in range(int(rounds[0]), int(rounds[-1]) + 1):
            order = Draw(seed, "class pictures", pool.number, turn).permutation(len(entries))
            picked[rounds == turn] = order[offsets[rounds == turn]]
    else:
        places = np.arange(pool.count)
        picked = places % len(entries)
        rounds = places // len(entries) + epoch * -(-pool.count // len(entries))
    chosen = entries[picked]
    numbers = (rounds * repeats[chosen] + copies[picked]) * pool.pools + pool.number
    return np.array(members)[chosen], numbers


def own_places(
    pool: Pool, items: Sequence[Item], buckets: Sequence[Pixels], rotate: bool = True
) -> dict[Pixels, int]:
    """How many places of an epoch each bucket has where class pictures stand by themselves.

    As the pictures' own buckets are shared out; what is left over goes to the largest remainders.
    """
    if not rotate:
        return dict(Counter(buckets[position] for position in deal(pool, items, 0, 0, rotate=False)[0]))
    weights: Counter[Pixels] = Counter()
    for member in pool.members:
        weights[buckets[member]] += items[member].repeats
    total = weights.total()
    places = {bucket: pool.count * weight // total for bucket, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda bucket: (-(pool.count * weights[bucket] % total), bucket))
    for bucket in by_remainder[: pool.count - sum(places.values())]:
        places[bucket] += 1
    return {bucket: count for bucket, count in places.items() if count}


def seat(
    dealt: np.ndarray, buckets: Sequence[Pixels], places: dict[Pixels, int], draw: Draw
) -> dict[Pixels, np.ndarray]:
    """For each bucket the positions, within `dealt`, of the pictures that sit in it.

    Pictures and places are both put in order of shape, then of area; pictures of one bucket in a drawn order.
    """
    own = [buckets[position] for position in dealt]
    keys = np.array([(shape(bucket), bucket[0] * bucket[1]) for bucket in own]).reshape(-1, 2)
    order = np.lexsort((draw.raw(len(dealt)), keys[:, 1], keys[:, 0]))
    seated, start = {}, 0
    for bucket in sorted(places, key=lambda bucket: (shape(bucket), bucket[0] * bucket[1])):
        seated[bucket] = order[start : start + places[bucket]]
        start += places[bucket]
    assert start == len(dealt), "as many places as pictures"
    return seated
