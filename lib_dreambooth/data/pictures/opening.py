"""Opens a picture by what it is, never by its name, and reads its header without decoding it.

Pillow's own `Image.open` is not used: its limit on pixels is one number for the whole process, which other
programs in it change, and it warns through a filter that threads share. Size is checked here instead.
"""

from __future__ import annotations

import importlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.pictures.formats import EXTENSIONS, sniff

# Above this a picture is not decoded whole (a JPEG is read at a half, a quarter or an eighth); the number is
# where Pillow refuses too.
MAX_PIXELS = 178_956_970
ORIENTATION_TAG = 0x0112
TIFF_WIDTH, TIFF_HEIGHT = 256, 257
# The orientations whose width and height change places.
LYING = frozenset({5, 6, 7, 8})
CUT_SHORT = "is cut short: its end is missing"
ALPHA_MODES = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})

# What a damaged file makes Pillow raise, by format and version.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    struct.error,
    MemoryError,
)

FACTORIES: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture says about itself. `stored_size` is (width, height) before any rotation."""

    picture_format: str
    stored_size: tuple[int, int]
    mode: str
    orientation: int
    has_alpha: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as a viewer shows it: after the rotation that EXIF asks for."""
        return self.stored_size[::-1] if self.orientation in LYING else self.stored_size


def read_header(path: Path | str) -> Header:
    """The header of a picture file; `FileError` where there is none."""
    with open_file(path) as file:
        return header_of(file, path)


def header_of(file: BinaryIO, path: Path | str) -> Header:
    """The header of an open picture file; `path` only names it in errors."""
    image = open_image(file, path)
    orientation = orientation_of(image)
    width, height = image.size
    if width < 1 or height < 1:
        raise unreadable(path, f"says it is {width}x{height} pixels")
    has_alpha = image.mode in ALPHA_MODES or "transparency" in image.info
    return Header(str(image.format), stored_size_of(image), image.mode, orientation, has_alpha)


def stored_size_of(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height before any rotation; newer Pillows give a TIFF's size as it will be turned."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = image.tag_v2.get(TIFF_WIDTH), image.tag_v2.get(TIFF_HEIGHT)
        if isinstance(width, int) and isinstance(height, int):
            return width, height
    return image.size


def open_file(path: Path | str) -> BinaryIO:
    """Opens for reading; `FileError` with the reason where the system refuses."""
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise FileError(
            "this picture is gone.",
            where=str(path),
            todo="It was removed or renamed after the folder was read; put it back or scan again.",
            code="picture-gone",
        ) from error
    except OSError as error:
        raise unreadable(path, f"cannot be opened ({error.strerror or type(error).__name__})") from error


def open_image(file: BinaryIO, path: Path | str) -> ImageFile.ImageFile:
    """Pillow's lazy image of an open file: header read, pixels not."""
    file.seek(0)
    picture_format = sniff(file.read(16))
    file.seek(0)
    factory = factory_of(picture_format)
    if factory is None:
        raise unreadable(path, what_it_is_not(picture_format))
    try:
        image = factory(file, str(path))
    except DAMAGE as error:
        raise unreadable(path, damage(error)) from error
    return image


def damage(error: BaseException) -> str:
    """What is wrong with a picture that made Pillow stumble: in its own words only where they help."""
    # Pillow wraps what its readers meet.
    met = error.__cause__ or error
    is_short = isinstance(met, struct.error | EOFError | IndexError) or "truncated" in str(met).lower()
    return CUT_SHORT if is_short else f"is damaged ({first_line(error)})"


def factory_of(picture_format: str | None) -> type[ImageFile.ImageFile] | None:
    """The Pillow class for a format, None where this Pillow has none."""
    if picture_format == "AVIF":
        # In Pillow from 11.3; before that a plugin of the host may have registered one.
        try:
            importlib.import_module("PIL.AvifImagePlugin")
        except ImportError:
            Image.init()
        entry = Image.OPEN.get("AVIF")
        return entry[0] if entry else None  # type: ignore[return-value]
    return FACTORIES.get(picture_format or "")


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it makes no sense."""
    try:
        value = _exif(image).get(ORIENTATION_TAG, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _exif(image: ImageFile.ImageFile) -> Image.Exif:
    if image.format == "PNG" and "exif" not in image.info and "Raw profile type exif" not in image.info:
        # PngImageFile.getexif would decode all pixels in the hope of a chunk behind them.
        return Image.Exif()
    return image.getexif()


def what_it_is_not(picture_format: str | None) -> str:
    """Why a file has no reader here."""
    if picture_format is None:
        return "is not a picture of a kind that can be read"
    return f"is {picture_format}, which this Pillow cannot read"


def unreadable(path: Path | str, reason: str) -> FileError:
    """The sentence for a picture that cannot be used."""
    readable = {extension[1:] for extension in EXTENSIONS} - (
        {"avif"} if factory_of("AVIF") is None else set()
    )
    kinds = ", ".join(sorted(readable))
    return FileError(
        f"{reason}.",
        where=str(path),
        todo=f"Save it again as one of {kinds}, or take it out of the folder.",
        code="picture-unreadable",
    )


def first_line(error: BaseException) -> str:
    """An error's own words, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
