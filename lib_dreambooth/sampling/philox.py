"""The normal numbers that torch draws on an NVIDIA card, computed with numpy.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a block cipher over
counters. On the card each number of a tensor has a thread of its own, which takes the first of the four words
for the radius and the second for the angle of a Box-Muller pair and keeps the sine half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
NUM_ROUNDS = 10
LOW_WORD = np.uint64(0xFFFFFFFF)
WORD_BITS = np.uint64(32)
# Single precision constants, as on the card.
UNIT = float(np.float32(2.0**-32))
TURN = float(np.float32(2.3283064e-10 * 6.2831855))


class PhiloxNormals:
    """One seed's stream: each draw counts the offset up by one, whatever its size."""

    def __init__(self, seed: int) -> None:
        self._seed = seed & (2**64 - 1)
        self._offset = 0

    def draw(self, shape: Sequence[int]) -> np.ndarray:
        """Normal numbers, float32."""
        count = math.prod(shape)
        first, second = philox_words(self._seed, self._offset, count)
        self._offset += 1
        radius = np.sqrt(-2.0 * np.log(first * UNIT + UNIT / 2))
        angle = second * TURN + TURN / 2
        return (radius * np.sin(angle)).astype(np.float32).reshape(tuple(shape))


def philox_words(seed: int, offset: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first two words, as uint64, of the blocks (offset, 0, i, 0) for i from 0 to `count` - 1."""
    words = [
        np.full(count, offset & 0xFFFFFFFF, dtype=np.uint64),
        np.full(count, offset >> 32, dtype=np.uint64),
        np.arange(count, dtype=np.uint64),
        np.zeros(count, dtype=np.uint64),
    ]
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(NUM_ROUNDS):
        left, right = words[0] * MULTIPLIERS[0], words[2] * MULTIPLIERS[1]
        words = [
            (right >> WORD_BITS) ^ words[1] ^ np.uint64(keys[0]),
            right & LOW_WORD,
            (left >> WORD_BITS) ^ words[3] ^ np.uint64(keys[1]),
            left & LOW_WORD,
        ]
        keys = [(key + step) & 0xFFFFFFFF for key, step in zip(keys, KEY_STEPS, strict=True)]
    return words[0], words[1]
