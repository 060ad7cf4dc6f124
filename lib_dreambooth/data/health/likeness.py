"""Pictures that are the same or nearly so, found without comparing each with each.

A 64-bit hash of the coarse shape finds candidates, a tiny colour picture confirms them. Hashes that differ in
at most four bits share at least one of five bands, so only pictures with a band in common are compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

HASH_SIDE = 8
DCT_SIDE = 32
TINY_SIDE = 16
# Bits of the five bands of a hash.
BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
# Above this many differing bits two pictures are not compared further.
MOST_BITS = 10
# Correlation of the tiny pictures from which two count as the same motif.
SAME_MOTIF = 0.96
# Below this spread of grey (of 255) there is no shape to compare.
LEAST_CONTRAST = 3.0


@dataclass(frozen=True, slots=True)
class Likeness:
    """What two pictures are compared by; `mirrored` is the hash of the mirror image. None: no motif."""

    hash: int
    mirrored: int
    tiny: np.ndarray


def likeness_of(image: Image.Image) -> Likeness | None:
    """The likeness of an RGB picture, None where it is one flat colour or a fine pattern."""
    grey = np.asarray(_shrunk(image, DCT_SIDE).convert("L"), dtype=np.float64)
    if grey.std() < LEAST_CONTRAST:
        return None
    low = COSINES @ grey @ COSINES.T
    tiny = np.asarray(_shrunk(image, TINY_SIDE), dtype=np.uint8)
    return Likeness(hash_of(low), hash_of(low * MIRROR_SIGNS), tiny)


def hash_of(low: np.ndarray) -> int:
    """Which of the low frequencies lie above their median; the mean brightness does not count."""
    values = low.ravel()[1:]
    bits = np.concatenate([[False], values > np.median(values)])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def similar_pairs(pictures: Sequence[Likeness | None]) -> Iterator[tuple[int, int, bool]]:
    """Pairs of positions that show the same motif, the smaller first, and whether one is mirrored.

    Of pictures with the same hash only the first is compared further, so that ten thousand frames of one
    scene are ten thousand pairs and not fifty million.
    """
    leaders: dict[int, list[int]] = defaultdict(list)
    for i, picture in enumerate(pictures):
        if picture is None:
            continue
        same = next((j for j in leaders[picture.hash] if same_motif(pictures[j], picture)), None)
        if same is None:
            leaders[picture.hash].append(i)
        else:
            yield same, i, False
    yield from _pairs_of(pictures, sorted(i for group in leaders.values() for i in group))


def _pairs_of(pictures: Sequence[Likeness | None], leaders: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    known = {i: p for i in leaders if (p := pictures[i]) is not None}
    tables = _bands({i: p.hash for i, p in known.items()})
    found: set[tuple[int, int]] = set()
    for is_mirrored in (False, True):
        for i, one in known.items():
            asked = one.mirrored if is_mirrored else one.hash
            for j in _sharing_a_band(asked, tables):
                # A mirrored pair is found from either side; once is enough.
                if j <= i or (i, j) in found or (asked ^ known[j].hash).bit_count() > MOST_BITS:
                    continue
                if same_motif(one, known[j], is_mirrored):
                    found.add((i, j))
                    yield i, j, is_mirrored


def same_motif(a: Likeness | None, b: Likeness | None, is_mirrored: bool = False) -> bool:
    """Whether two tiny pictures agree in colour and place."""
    if a is None or b is None:
        return False
    left = a.tiny[:, ::-1] if is_mirrored else a.tiny
    return correlation(left, b.tiny) >= SAME_MOTIF


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """How alike two pictures are, -1 to 1, whatever their brightness and contrast."""
    x, y = a.ravel() - a.mean(dtype=np.float64), b.ravel() - b.mean(dtype=np.float64)
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length else 0.0


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Positions that hang together by pairs, each group sorted, in the order of their first."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    found: dict[int, list[int]] = defaultdict(list)
    for i in sorted(parent):
        found[root(i)].append(i)
    return list(found.values())


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BOX)


def _bands(hashes: dict[int, int]) -> list[dict[int, list[int]]]:
    tables: list[dict[int, list[int]]] = [defaultdict(list) for _ in BANDS]
    for i, value in hashes.items():
        for table, band in zip(tables, _split(value), strict=True):
            table[band].append(i)
    return tables


def _split(value: int) -> list[int]:
    return [value >> start & (1 << width) - 1 for start, width in BANDS]


def _sharing_a_band(value: int, tables: list[dict[int, list[int]]]) -> list[int]:
    near: set[int] = set()
    for table, band in zip(tables, _split(value), strict=True):
        near.update(table.get(band, ()))
    return sorted(near)


def _cosines() -> np.ndarray:
    """The first rows of the discrete cosine transform, `HASH_SIDE` x `DCT_SIDE`."""
    rows = [
        [math.cos(math.pi * k * (2 * n + 1) / (2 * DCT_SIDE)) for n in range(DCT_SIDE)]
        for k in range(HASH_SIDE)
    ]
    return np.array(rows)


COSINES = _cosines()
# Mirroring a picture turns the sign of every odd horizontal frequency.
MIRROR_SIGNS = np.where(np.arange(HASH_SIDE) % 2, -1.0, 1.0)[None, :]
