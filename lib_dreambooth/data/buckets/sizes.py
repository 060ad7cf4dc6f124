"""The sizes that batches may have, and the one that each picture gets. All sizes are (width, height)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Pixels = tuple[int, int]
BucketRule = Literal["nearest", "kohya"]


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """What decides a bucket; sides are in pixels, 0 stands for half and twice the resolution's side."""

    resolution: Pixels
    enabled: bool = True
    min_side: int = 0
    max_side: int = 0
    step: int = 64
    upscale: bool = True
    rule: BucketRule = "nearest"

    @property
    def limits(self) -> tuple[int, int]:
        """The shortest and the longest side, both multiples of the step."""
        low = self.min_side or min(self.resolution) // 2
        high = self.max_side or max(self.resolution) * 2
        low = max(self.step, low // self.step * self.step)
        return low, max(low, -(-high // self.step) * self.step)


def bucket_sizes(settings: BucketSettings) -> list[Pixels]:
    """Every size whose area is at most the resolution's, as large as the step allows, narrow to wide."""
    width, height = settings.resolution
    if not settings.enabled:
        return [settings.resolution]
    area, step = width * height, settings.step
    low, high = settings.limits
    square = math.isqrt(area) // step * step
    sizes = {(square, square)} if low <= square <= high else set()
    for side in range(low, high + 1, step):
        other = min(high, area // side // step * step)
        if other >= low:
            sizes |= {(side, other), (other, side)}
    # A resolution below the smallest bucket, such as 64 with a step of 128, still needs one.
    return sorted(sizes) or [(low, low)]


def bucket_of(size: Pixels, settings: BucketSettings, sizes: Sequence[Pixels] | None = None) -> Pixels:
    """The bucket of a picture of `size`; `sizes` saves making the list again."""
    sizes = bucket_sizes(settings) if sizes is None else sizes
    if not settings.enabled:
        return settings.resolution
    if not settings.upscale:
        return own_size_bucket(size, settings)
    return size if size in sizes else nearest_shape(size, sizes, settings.rule)


def nearest_shape(size: Pixels, sizes: Sequence[Pixels], rule: BucketRule = "nearest") -> Pixels:
    """The bucket that loses least of the picture's shape.

    "nearest" compares the logarithms of width by height, so that tall and wide pictures fare alike; "kohya"
    compares the plain quotients. Equally near ones: the larger, then the first.
    """
    own = shape(size, rule)
    return min(sizes, key=lambda bucket: (abs(shape(bucket, rule) - own), -bucket[0] * bucket[1]))


def shape(size: Pixels, rule: BucketRule = "nearest") -> float:
    """Width by height as a number to compare."""
    quotient = size[0] / size[1]
    return math.log(quotient) if rule == "nearest" else quotient


def own_size_bucket(size: Pixels, settings: BucketSettings) -> Pixels:
    """The bucket of a picture that must not be enlarged: its own size, shrunk to the area, cut to the step.

    Only what is narrower than one step is enlarged, to that step.
    """
    width, height = size
    area, step = settings.resolution[0] * settings.resolution[1], settings.step
    high = settings.limits[1]
    scale = min(1.0, math.sqrt(area / (width * height)), high / max(size))
    if scale == 1.0:
        return beside(floor_to(width, step), height, area, high, step)
    # Cutting one side to the step first and letting the other follow may keep the shape better.
    by_width, by_height = floor_to(width * scale, step), floor_to(height * scale, step)
    wide = beside(by_width, by_width * height / width, area, high, step)
    tall = beside(by_height, by_height * width / height, area, high, step)
    own = shape(size, settings.rule)
    return min(
        (wide, (tall[1], tall[0])),
        key=lambda c: (abs(shape(c, settings.rule) - own), -c[0] * c[1]),
    )


def beside(side: int, other: float, area: int, high: int, step: int) -> Pixels:
    """`side` with the other side cut to the step, the longest side and the area."""
    return side, min(floor_to(other, step), high, floor_to(area / side, step))


def floor_to(length: float, step: int) -> int:
    """The largest multiple of the step that is not longer, at least one step."""
    # A hair's breadth of rounding must not cost a whole step.
    return max(step, int(length + 1e-6) // step * step)
