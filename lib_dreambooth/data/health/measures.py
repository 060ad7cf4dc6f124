"""Everything that the report needs to know about one picture, so that the pixels can be let go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from lib_dreambooth.data.buckets.cuts import Cut
from lib_dreambooth.data.health.likeness import Likeness, likeness_of
from lib_dreambooth.data.health.look import Borders, Figure, figure_of, flat_borders, sharpness
from lib_dreambooth.data.pictures.addresses import address_of

# Blur is judged at the size of an SD 1 training picture, the rest on less.
LONG_SIDE = 512
SMALL_SIDE = 256
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 144, 72
# So much of a side may be bar before it counts.
LEAST_BAR = 0.015
# Below this, on a scale of 255, there is nothing to see; JPEG makes 1 or 2 of one colour.
FLAT_CONTRAST = 4.0


@dataclass(frozen=True, slots=True)
class Measures:
    """What was seen in a picture. `bars` are shares of width and height: left, top, right, bottom.

    `contrast` is the standard deviation of the liveliest channel; `likeness` is None where nothing can be
    compared, be it one colour or a fine pattern all over.
    """

    likeness: Likeness | None
    contrast: float
    sharpness: float | None
    bars: tuple[float, float, float, float]
    figure: Figure | None
    thumbnail: str = ""

    @property
    def is_flat(self) -> bool:
        """Whether the picture is one flat colour."""
        return self.likeness is None and self.contrast < FLAT_CONTRAST


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture goes into its bucket: enlargement, and the shares that are cut off on each side."""

    bucket: tuple[int, int]
    scale: float
    lost: tuple[float, float, float, float]

    @classmethod
    def of(cls, size: tuple[int, int], cut: Cut) -> Fit:
        """The fit of a picture of `size` that is trained as `cut`."""
        width, height = cut.scaled
        lost = (
            cut.left / width,
            cut.top / height,
            (width - cut.left - cut.size[0]) / width,
            (height - cut.top - cut.size[1]) / height,
        )
        return cls(cut.size, max(width / size[0], height / size[1]), lost)

    @property
    def lost_area(self) -> float:
        """The share of the picture that is not trained."""
        left, top, right, bottom = self.lost
        return 1 - (1 - left - right) * (1 - top - bottom)


def measure(image: Image.Image, with_thumbnail: bool = False) -> Measures:
    """Looks at a picture (RGB, as it will be trained)."""
    image = fitted(image, LONG_SIDE)
    small = np.asarray(fitted(image, SMALL_SIDE))
    borders = flat_borders(small)
    return Measures(
        likeness_of(image),
        float(small.std(axis=(0, 1)).max()),
        sharpness(np.asarray(image.convert("L"))),
        _shares(borders, small.shape[1], small.shape[0]),
        None if borders else figure_of(small),
        thumbnail(image) if with_thumbnail else "",
    )


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The picture with no side longer than `side`, averaged down; a smaller one stays as it is."""
    factor = side / max(image.size)
    if factor >= 1:
        return image
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.BOX)


def thumbnail(image: Image.Image) -> str:
    """A small JPEG as a data address for the page."""
    return address_of(fitted(image, THUMBNAIL_SIDE).convert("RGB"), "JPEG", quality=THUMBNAIL_QUALITY)


def _shares(borders: Borders, width: int, height: int) -> tuple[float, float, float, float]:
    sides = (
        borders.left / width,
        borders.top / height,
        borders.right / width,
        borders.bottom / height,
    )
    return sides if max(sides) >= LEAST_BAR else (0.0, 0.0, 0.0, 0.0)
