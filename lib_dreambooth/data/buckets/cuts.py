"""Scaling a picture over its bucket and choosing the part that is kept.

A `Cut` says everything about one way a picture is trained; the cache keys on it, SDXL is told it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.item import Item
from lib_dreambooth.diffusion.draws import Draw

CropMode = Literal["centre", "random", "upper", "face"]
# How far a face may stand from the middle of its crop, as a share of the face's size.
FACE_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Cut:
    """A picture scaled to `scaled`, mirrored if `flipped`, then cut to `size` from (`left`, `top`)."""

    size: Pixels
    scaled: Pixels
    left: int
    top: int
    flipped: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """left, top, right, bottom in the scaled and mirrored picture."""
        return self.left, self.top, self.left + self.size[0], self.top + self.size[1]


@dataclass(frozen=True, slots=True)
class CutSettings:
    """How cuts are chosen. `num_crops` 0 draws a fresh crop for every visit, which rules out a cache.

    `face_zoom` is how many times the face's size the crop's short side measures, smallest and largest;
    (0, 0) leaves the picture as large as it fits.
    """

    crop: CropMode = "centre"
    num_crops: int = 8
    face_zoom: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


def cover(size: Pixels, bucket: Pixels) -> Pixels:
    """The size, in the picture's own shape, that just covers the bucket; halves are rounded up."""
    scale = max(bucket[0] / size[0], bucket[1] / size[1])
    return max(bucket[0], int(size[0] * scale + 0.5)), max(bucket[1], int(size[1] * scale + 0.5))


def cut_for(item: Item, bucket: Pixels, visit: int, settings: CutSettings, seed: int) -> Cut:
    """The cut of one visit of one picture."""
    flipped = settings.flip and Draw(seed, "flip", item.id, visit).uniform() < 0.5
    if not varies(settings, item):
        number = 0
    elif settings.num_crops:
        number = Draw(seed, "crop choice", item.id, visit).integer(settings.num_crops)
    else:
        # Beyond the numbers of cached crops, so that no two names are the same.
        number = visit
    return numbered_cut(item, bucket, number, flipped, settings, seed)


def possible_cuts(item: Item, bucket: Pixels, settings: CutSettings, seed: int) -> tuple[Cut, ...]:
    """Every cut that `cut_for` can give, without doubles; empty where there is no end to them."""
    if is_endless(settings, item):
        return ()
    numbers = range(settings.num_crops) if varies(settings, item) else range(1)
    flips = (False, True) if settings.flip else (False,)
    cuts = (numbered_cut(item, bucket, n, flipped, settings, seed) for n in numbers for flipped in flips)
    return tuple(dict.fromkeys(cuts))


def varies(settings: CutSettings, item: Item) -> bool:
    """True where a crop is drawn."""
    return settings.crop == "random" or (
        settings.crop == "face" and item.face is not None and settings.face_zoom[1] > 0
    )


def is_endless(settings: CutSettings, item: Item) -> bool:
    """True where every visit has a crop of its own, so that none can be cached."""
    return varies(settings, item) and not settings.num_crops


def numbered_cut(
    item: Item, bucket: Pixels, number: int, flipped: bool, settings: CutSettings, seed: int
) -> Cut:
    """The drawn crop of that number; modes that draw nothing have one."""
    if settings.crop == "face" and item.face is not None:
        draw = Draw(seed, "crop", item.id, number)
        scaled, left, top = around_face(item.size, item.face, bucket, settings.face_zoom, draw)
    else:
        scaled = cover(item.size, bucket)
        spare = scaled[0] - bucket[0], scaled[1] - bucket[1]
        if settings.crop == "random":
            draw = Draw(seed, "crop", item.id, number)
            left, top = draw.integer(spare[0] + 1), draw.integer(spare[1] + 1)
        elif settings.crop == "centre":
            left, top = spare[0] // 2, spare[1] // 2
        else:
            # "upper", and "face" where no face is known: heads of standing figures are at the top.
            left, top = spare[0] // 2, 0
    if flipped:
        left = scaled[0] - bucket[0] - left
    return Cut(bucket, scaled, left, top, flipped)


def around_face(
    size: Pixels,
    face: tuple[int, int, int, int],
    bucket: Pixels,
    zoom: tuple[float, float],
    draw: Draw,
) -> tuple[Pixels, int, int]:
    """Scaled size and corner of a crop with the face as near to its middle as the picture allows."""
    least = max(bucket[0] / size[0], bucket[1] / size[1])
    face_side = max(face[2] - face[0], face[3] - face[1], 1)
    scale = least
    shift = (0.0, 0.0)
    if zoom[1] > 0:
        # The picture is enlarged for a face only where it has to be to cover the bucket.
        most = max(1.0, least)
        factors = [min(most, max(least, min(bucket) / (face_side * factor))) for factor in zoom if factor > 0]
        scale = min(factors) + (max(factors) - min(factors)) * draw.uniform()
        shift = (draw.uniform() - 0.5, draw.uniform() - 0.5)
    scaled = max(bucket[0], int(size[0] * scale + 0.5)), max(bucket[1], int(size[1] * scale + 0.5))
    middle = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    corner = []
    for axis in (0, 1):
        wanted = middle[axis] * scale - bucket[axis] / 2 + shift[axis] * 2 * FACE_JITTER * face_side * scale
        corner.append(min(max(0, math.floor(wanted)), scaled[axis] - bucket[axis]))
    return scaled, corner[0], corner[1]


def size_ids(cut: Cut, true_size: Pixels, kohya_formula: bool = False) -> tuple[int, int, int, int, int, int]:
    """What SDXL is told: original height and width, crop top and left, target height and width.

    kohya's formula takes the picture as contained in the bucket, so its crop is on the wrong side.
    """
    left, top = kohya_corner(cut, true_size) if kohya_formula else (cut.left, cut.top)
    return true_size[1], true_size[0], top, left, cut.size[1], cut.size[0]


def kohya_corner(cut: Cut, true_size: Pixels) -> Pixels:
    """Left and top as kohya's scripts record them, with the centre crop and the picture inside the bucket."""
    scale = min(cut.size[0] / true_size[0], cut.size[1] / true_size[1])
    inside = int(true_size[0] * scale + 0.5), int(true_size[1] * scale + 0.5)
    left, top = (cut.size[0] - inside[0]) // 2, (cut.size[1] - inside[1]) // 2
    return (cut.size[0] - (left + inside[0]) if cut.flipped else left), top


def lost_share(cut: Cut) -> float:
    """The part of the scaled picture's area that the cut throws away, 0 to 1."""
    return 1.0 - cut.size[0] * cut.size[1] / (cut.scaled[0] * cut.scaled[1])


def parse_face_box(stem: str, size: Pixels) -> tuple[int, int, int, int] | None:
    """left, top, right, bottom from a name that ends in `_middlex_middley_width_height`."""
    parts = stem.rsplit("_", 4)[1:]
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
        return None
    middle_x, middle_y, width, height = map(int, parts)
    left, top = middle_x - width // 2, middle_y - height // 2
    box = max(0, left), max(0, top), min(size[0], left + width), min(size[1], top + height)
    return box if box[0] < box[2] and box[1] < box[3] else None
