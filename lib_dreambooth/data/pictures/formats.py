"""Which picture format a file really has, and whether all of it is there; read from its bytes alone."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"},
)
# What a file of that format is usually called; a mislabelled file is read all the same.
USUAL_EXTENSIONS = {
    "PNG": {".png"},
    "JPEG": {".jpg", ".jpeg", ".jfif"},
    "WEBP": {".webp"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "TIFF": {".tif", ".tiff"},
    "AVIF": {".avif"},
}
# Where the end of a JPEG is looked for first; some programs put a little behind it.
TAIL_BYTES = 4096


def sniff(head: bytes) -> str | None:
    """The format that a file's first bytes (16 are enough) belong to, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"miaf"):
        return "AVIF"
    if head.startswith(b"BM"):
        return "BMP"
    return None


def is_cut_short(file: BinaryIO, picture_format: str) -> bool:
    """True where the end of the picture is missing.

    Reading the pixels does not tell: programs that share this process may have asked Pillow to fill what is
    missing with grey. Formats without a mark at their end count as whole.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if picture_format == "PNG":
        return not _reaches_png_end(file, size)
    if picture_format == "JPEG":
        return not _reaches_jpeg_end(file, size)
    if picture_format == "WEBP":
        return int.from_bytes(file.read(8)[4:8], "little") + 8 > size
    if picture_format == "BMP":
        return _bmp_length(file.read(38)) > size
    if picture_format == "GIF":
        return not _reaches_gif_frame_end(file)
    return False


def _reaches_png_end(file: BinaryIO, size: int) -> bool:
    position = 8
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IEND":
            return True
        position += 12 + length
    return False


def _reaches_jpeg_end(file: BinaryIO, size: int) -> bool:
    scan = _jpeg_scan_start(file, size)
    if scan is None:
        return False
    # Inside the scan data 0xFF is always followed by 0x00 or a restart mark, so this pair is the true end;
    # before it an embedded preview may have one of its own.
    file.seek(max(scan, size - TAIL_BYTES))
    if b"\xff\xd9" in file.read():
        return True
    file.seek(scan)
    return b"\xff\xd9" in file.read()


def _jpeg_scan_start(file: BinaryIO, size: int) -> int | None:
    position = 2
    while position + 4 <= size:
        file.seek(position)
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            return None
        if kind == 0xFF:
            position += 1
            continue
        if kind == 0xDA:
            return position + 2 + length
        position += 2 + length
    return None


def _reaches_gif_frame_end(file: BinaryIO) -> bool:
    """True where the data of the first frame ends with its mark."""
    screen = file.read(13)
    if len(screen) < 13:
        return False
    file.seek(_gif_colours(screen[10]), os.SEEK_CUR)
    while True:
        kind = file.read(1)
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":
            descriptor = file.read(9)
            if len(descriptor) < 9:
                return False
            file.seek(_gif_colours(descriptor[8]) + 1, os.SEEK_CUR)
        else:
            return False
        if not _skip_gif_blocks(file):
            return False
        if kind == b",":
            return True


def _gif_colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_gif_blocks(file: BinaryIO) -> bool:
    """Past a chain of blocks; False where it breaks off."""
    while length := file.read(1):
        if length == b"\0":
            return True
        file.seek(length[0], os.SEEK_CUR)
    return False


def _bmp_length(head: bytes) -> int:
    """The bytes that an uncompressed BMP needs; 0 where its header does not say."""
    if len(head) < 34:
        return 1 << 62
    offset, header = struct.unpack("<II", head[10:18])
    if header < 40:
        return 0
    width, height, _, bits, compression = struct.unpack("<iiHHI", head[18:34])
    if compression not in (0, 3):
        return 0
    return offset + (abs(width) * bits + 31) // 32 * 4 * abs(height)
