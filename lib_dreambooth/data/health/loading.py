"""Pictures for the report: as they will be trained, but read as small as their format allows."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.health.report import Load
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.pictures.alpha import AlphaUse, flatten, parse_colour
from lib_dreambooth.data.pictures.decoding import Picture, decode
from lib_dreambooth.settings.sections.pictures import Pictures

# A JPEG above this is read at a half, a quarter or an eighth, which is many times faster.
ENOUGH_PIXELS = 1_500_000


def loader(settings_of: Callable[[Item], Pictures]) -> Load:
    """A function that loads an item under the picture settings that hold for it."""

    def load(item: Item) -> Image.Image:
        settings = settings_of(item)
        use: AlphaUse = settings.alpha  # type: ignore[assignment]
        picture = read_small(item.path, settings.exif_rotation)
        return flatten(picture, use, parse_colour(settings.background))

    return load


def read_small(path: str, upright: bool) -> Picture:
    """The picture, reduced while it is decoded where it is a large JPEG."""
    try:
        return decode(path, upright, ENOUGH_PIXELS)
    except FileError as error:
        # Other formats can only be read whole.
        if error.code != "picture-too-large":
            raise
        return decode(path, upright)
