"""What becomes of transparency, and masks read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PIL import Image, ImageColor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.pictures.decoding import Picture, decode

# drop: train on the colour that lies under transparent pixels, as the older tools do. composite: lay the
# picture on one colour. mask: drop, and weigh the loss by alpha. both: composite, and weigh the loss.
AlphaUse = Literal["drop", "composite", "mask", "both"]


def flatten(picture: Picture, use: AlphaUse, colour: tuple[int, int, int]) -> Image.Image:
    """The RGB pixels that are trained, transparency dealt with as asked."""
    if picture.alpha is None or use in ("drop", "mask"):
        return picture.rgb
    ground = Image.new("RGB", picture.rgb.size, colour)
    return Image.composite(picture.rgb, ground, picture.alpha)


def uses_alpha_as_mask(use: AlphaUse) -> bool:
    """True where alpha weighs the loss."""
    return use in ("mask", "both")


def read_mask(path: Path | str, size: tuple[int, int], upright: bool = True) -> Image.Image:
    """A mask file as 8-bit grey, brought to the size of its picture; white trains, black does not."""
    grey = decode(path, upright).rgb.convert("L")
    return grey if grey.size == size else grey.resize(size, Image.Resampling.BOX)


def parse_colour(text: str) -> tuple[int, int, int]:
    """`#rrggbb` or a colour's English name as three numbers from 0 to 255."""
    try:
        colour = ImageColor.getrgb(text.strip())
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"`{text}` is not a colour.",
            where="background colour",
            todo="Write it as #rrggbb, for example #ffffff, or as a name such as white.",
        ) from error
    return colour[0], colour[1], colour[2]
