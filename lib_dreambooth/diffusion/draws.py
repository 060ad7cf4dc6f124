"""Random numbers as a function of what they are for, the same on every machine and library version.

A `Draw` names a stream by (seed, purpose, counters): the counters are the item and its visit, never a step, a
worker or a process. So resuming, prefetching and splitting the work cannot change a single number, and no
generator state has to be kept.

The bits are Philox4x64-10, whose raw output numpy holds fixed. Everything made of them here uses only exactly
rounded operations (+, -, *, /, sqrt), because `log` and `cos` differ in the last bit between processors.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Counter = int | str | bytes

TWO_TO_MINUS_53 = 2.0**-53
# Normals are made in blocks that fit the processor's cache; the size is part of what defines the numbers.
NORMAL_BLOCK = 8192
LN_2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476
# The series are cut where the error is a few times 1e-10, far below the 6e-8 of the float32 that is returned.
# 2 atanh(s) / s in powers of s^2, for |s| < 0.172.
LOG_SERIES = tuple(2.0 / (2 * k + 1) for k in range(6))
# sin(x) / x and cos(x) in powers of x^2, for |x| <= pi / 4.
SIN_SERIES = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(6))
COS_SERIES = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(6))


class Draw:
    """One stream of random numbers. Asking again goes on in the stream; the same name starts it anew."""

    __slots__ = ("_bits",)

    def __init__(self, seed: int, purpose: str, *counters: Counter) -> None:
        key = np.frombuffer(name_digest(seed, purpose, *counters), dtype="<u8").astype(np.uint64)
        self._bits = np.random.Philox(key=key)

    def raw(self, count: int) -> np.ndarray:
        """`count` unsigned 64-bit numbers."""
        return self._bits.random_raw(count)

    def uniform(self) -> float:
        """A number in [0, 1) with 53 random bits."""
        return (int(self._bits.random_raw()) >> 11) * TWO_TO_MINUS_53

    def uniforms(self, count: int) -> np.ndarray:
        """`count` numbers in [0, 1), float64."""
        return (self.raw(count) >> np.uint64(11)) * TWO_TO_MINUS_53

    def integer(self, below: int) -> int:
        """A whole number from 0 to `below` - 1."""
        if below < 1:
            raise ValueError(f"integer({below}): nothing to draw from")
        return int(self._bits.random_raw()) * below >> 64

    def integers(self, below: int, count: int) -> np.ndarray:
        """`count` whole numbers from 0 to `below` - 1, int64; `below` is at most 2**31."""
        if not 1 <= below <= 2**31:
            raise ValueError(f"integers({below}): has to be from 1 to 2**31")
        return ((self.raw(count) >> np.uint64(32)) * np.uint64(below) >> np.uint64(32)).astype(np.int64)

    def permutation(self, count: int) -> np.ndarray:
        """The numbers from 0 to `count` - 1 in a drawn order, int64."""
        return np.argsort(self.raw(count), kind="stable").astype(np.int64)

    def choice(self, weights: Sequence[float]) -> int:
        """A position in `weights`, each as likely as its share of their sum."""
        sums = list(accumulate(weights))
        if not sums or min(weights) < 0 or not 0 < sums[-1] < math.inf:
            raise ValueError(f"choice({list(weights)}): weights have to be at least 0 and not all 0")
        point = self.uniform() * sums[-1]
        # Rounding can put the point on the total; the last place that can be drawn answers then.
        last = max(i for i, weight in enumerate(weights) if weight > 0)
        return next((i for i, total in enumerate(sums[:last]) if point < total), last)

    def normal(self, shape: Sequence[int] = ()) -> np.ndarray:
        """Numbers of mean 0 and variance 1 in that shape, float32."""
        count = math.prod(shape)
        numbers = np.empty(count, dtype=np.float32)
        for start in range(0, count, NORMAL_BLOCK):
            block = numbers[start : start + NORMAL_BLOCK]
            block[:] = box_muller(self.raw(len(block) + len(block) % 2))[: len(block)]
        return numbers.reshape(tuple(shape))

    def normal_tensor(self, shape: Sequence[int] = ()) -> torch.Tensor:
        """`normal` as a tensor on the CPU."""
        import torch

        return torch.from_numpy(self.normal(shape))


def name_digest(seed: int, purpose: str, *counters: Counter) -> bytes:
    """16 bytes for a stream's name; types and lengths are told apart, so no two names run together."""
    digest = hashlib.blake2b(digest_size=16, person=b"dreambooth draws")
    for part in (seed, purpose, *counters):
        if isinstance(part, str):
            kind, data = b"s", part.encode("utf-8", "surrogatepass")
        elif isinstance(part, bytes):
            kind, data = b"b", part
        else:
            kind, data = b"i", str(int(part)).encode("ascii")
        digest.update(kind + len(data).to_bytes(8, "little") + data)
    return digest.digest()


def box_muller(raw: np.ndarray) -> np.ndarray:
    """Standard normals, float64, one for each of an even count of 64-bit numbers.

    The first half gives radii. The second half gives directions: 53 bits an angle within a quarter turn, two
    further bits which quarter it is.
    """
    pairs = len(raw) // 2
    radius = ((raw[:pairs] >> np.uint64(11)) + np.uint64(1)) * TWO_TO_MINUS_53
    radius = exact_log(radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)

    turn = raw[pairs:]
    angle = (turn >> np.uint64(11)) * TWO_TO_MINUS_53
    angle -= 0.5
    angle *= math.pi / 2
    square = angle * angle
    sine = polynomial(square, SIN_SERIES)
    sine *= angle
    sine *= radius
    cosine = polynomial(square, COS_SERIES)
    cosine *= radius
    cosine *= 1.0 - 2.0 * (turn & np.uint64(1))

    swapped = (turn & np.uint64(2)).astype(bool)
    return np.concatenate([np.where(swapped, sine, cosine), np.where(swapped, cosine, sine)])


def exact_log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm of positive numbers from exactly rounded operations, good to about 1e-10."""
    mantissa, exponent = np.frexp(x)
    small = (mantissa < SQRT_HALF).astype(np.float64)
    mantissa += mantissa * small
    ratio = mantissa - 1.0
    mantissa += 1.0
    ratio /= mantissa
    np.multiply(ratio, ratio, out=mantissa)
    logarithm = polynomial(mantissa, LOG_SERIES)
    logarithm *= ratio
    np.subtract(exponent, small, out=small)
    small *= LN_2
    logarithm += small
    return logarithm


def polynomial(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """The sum of coefficients[k] * x**k by Horner's rule, each operation rounded on its own."""
    total: Any = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total
