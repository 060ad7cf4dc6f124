"""A picture file as sRGB pixels and alpha, upright."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFile, JpegImagePlugin

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.pictures.colour import split_alpha, to_srgb
from lib_dreambooth.data.pictures.formats import is_cut_short
from lib_dreambooth.data.pictures.opening import (
    CUT_SHORT,
    DAMAGE,
    MAX_PIXELS,
    first_line,
    open_file,
    open_image,
    orientation_of,
    unreadable,
)

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Turns that are not their own opposite.
BACK = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels: `rgb` of mode RGB and, where the file has one, `alpha` of mode L, of the same size.

    `reduced` is 1, or 2, 4, 8 where so large a picture was read at a half, a quarter or an eighth.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    reduced: int = 1


def decode(path: Path | str, upright: bool = True, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a picture's first frame; `FileError` where it is damaged, cut short or too large.

    Without `upright` the rotation that EXIF asks for is ignored, as kohya's scripts do.
    """
    with open_file(path) as file:
        image = open_image(file, path)
        if is_cut_short(file, str(image.format)):
            raise unreadable(path, CUT_SHORT)
        reduced = reduction(image.size, str(image.format), max_pixels, path)
        try:
            file.seek(0)
            image = open_image(file, path)
            if reduced > 1:
                read_smaller(image, reduced)
            turn = turn_for(image, upright)
            image.load()
            return converted(image, turn, reduced)
        except DAMAGE as error:
            raise unreadable(path, f"is damaged ({first_line(error)})") from error


def turn_for(image: ImageFile.ImageFile, upright: bool) -> Image.Transpose | None:
    """How the pixels have to be turned once they are loaded; Pillow itself turns a TIFF upright."""
    turn = UPRIGHT.get(orientation_of(image))
    if image.format == "TIFF":
        return None if upright or turn is None else BACK.get(turn, turn)
    return turn if upright else None


def converted(image: ImageFile.ImageFile, turn: Image.Transpose | None, reduced: int = 1) -> Picture:
    """A loaded image in sRGB, turned."""
    profile = image.info.get("icc_profile")
    colours, alpha = split_alpha(image)
    rgb = to_srgb(colours, profile)
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    return Picture(rgb, alpha, reduced)


def reduction(size: tuple[int, int], picture_format: str, max_pixels: int, path: Path | str) -> int:
    """By how much a picture has to be read smaller; only JPEG can be, so others are refused."""
    width, height = size
    for factor in (1, 2, 4, 8):
        if (width // factor) * (height // factor) <= max_pixels:
            if factor == 1 or picture_format == "JPEG":
                return factor
            break
    raise FileError(
        f"has {width}x{height} pixels, more than the {max_pixels // 1_000_000} million that are read.",
        where=str(path),
        todo="Save it smaller: training uses only a small part of so many pixels.",
        code="picture-too-large",
    )


def read_smaller(image: ImageFile.ImageFile, factor: int) -> None:
    """Tells the JPEG decoder to give a half, a quarter or an eighth of the size."""
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    width, height = image.size
    image.draft("RGB" if image.mode == "RGB" else image.mode, (width // factor, height // factor))
