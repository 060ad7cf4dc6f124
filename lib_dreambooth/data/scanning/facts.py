"""What has to be known about a picture file: its content's hash and its header."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.pictures.formats import is_cut_short
from lib_dreambooth.data.pictures.opening import CUT_SHORT, LYING, MAX_PIXELS, header_of, open_file

HASH_BYTES = 16
PART_BYTES = 1 << 20
# So long as a file is small, one read is faster than a loop.
SMALL_BYTES = 1 << 23


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`content` is the hash of the file's bytes; `problem` says why it cannot be trained on, "" if it can.

    `stored_size` is (width, height) before the rotation that `orientation` (EXIF, 1 to 8) asks for.
    """

    size: int
    mtime_ns: int
    content: str
    picture_format: str = ""
    stored_size: tuple[int, int] = (0, 0)
    orientation: int = 1
    has_alpha: bool = False
    problem: str = ""

    def shown_size(self, upright: bool = True) -> tuple[int, int]:
        """(width, height) as trained: turned upright where wished."""
        turned = upright and self.orientation in LYING
        return self.stored_size[::-1] if turned else self.stored_size


def read_facts(path: str, size: int, mtime_ns: int) -> FileFacts:
    """Reads a whole file once; `FileError` where it cannot be opened at all."""
    with open_file(path) as file:
        try:
            content = hash_of(file, size)
        except OSError as error:
            return FileFacts(size, mtime_ns, "", problem=f"cannot be read ({error.strerror})")
        try:
            header = header_of(file, path)
            if is_cut_short(file, header.picture_format):
                return FileFacts(size, mtime_ns, content, problem=CUT_SHORT)
        except FileError as error:
            return FileFacts(size, mtime_ns, content, problem=error.what.removesuffix("."))
    return FileFacts(
        size,
        mtime_ns,
        content,
        header.picture_format,
        header.stored_size,
        header.orientation,
        header.has_alpha,
        too_large(header.picture_format, header.stored_size),
    )


def hash_of(file: BinaryIO, size: int) -> str:
    """The hash of an open file's bytes as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    file.seek(0)
    if size <= SMALL_BYTES:
        digest.update(file.read())
    else:
        while part := file.read(PART_BYTES):
            digest.update(part)
    return digest.hexdigest()


def hash_path(path: Path | str) -> str:
    """The hash of a file's bytes; `FileError` where it cannot be opened."""
    with open_file(path) as file:
        return hash_of(file, file.seek(0, os.SEEK_END))


def too_large(picture_format: str, size: tuple[int, int]) -> str:
    """Why a picture of that many pixels is not read; a JPEG can be read smaller."""
    width, height = size
    least = 8 if picture_format == "JPEG" else 1
    if (width // least) * (height // least) <= MAX_PIXELS:
        return ""
    return f"has {width}x{height} pixels, more than the {MAX_PIXELS // 1_000_000} million that are read"
