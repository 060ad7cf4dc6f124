"""Picture files made for tests, with what Pillow cannot write made by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def gradient(width: int, height: int, channels: int = 3) -> np.ndarray:
    """A picture whose every pixel tells where it is: red grows to the right, green downwards."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    planes = [x, y, 255 - x, 255 - y][:channels]
    return np.stack(planes, axis=-1).round().astype(np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    """Saves and gives the path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def save_gradient(path: Path, width: int = 64, height: int = 48, **options: object) -> Path:
    """A gradient under that name."""
    return save(path, Image.fromarray(gradient(width, height)), **options)


def save_plain(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Path:
    """One colour; the file's content follows from colour and size."""
    return save(path, Image.new("RGB", size, colour))


def png_bytes(width: int, height: int, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG from raw rows, each with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def linear_profile() -> bytes:
    """An ICC profile with sRGB's primaries and gamma 1, so that what it does can be computed by hand."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(x: float, y: float, z: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(x) + fixed(y) + fixed(z)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256) + b"\0\0"
    name = b"linear test\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(79)
    description += b"\0" * (-len(description) % 4)
    tags = [
        (b"desc", description),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", xyz(0.9642, 1.0, 0.8249)),
        (b"rXYZ", xyz(0.43607, 0.22249, 0.01392)),
        (b"gXYZ", xyz(0.38515, 0.71687, 0.09708)),
        (b"bXYZ", xyz(0.14307, 0.06061, 0.71410)),
        (b"rTRC", curve),
        (b"gTRC", curve),
        (b"bTRC", curve),
    ]
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for kind, data in tags:
        table += struct.pack(">4sII", kind, offset + len(body), len(data))
        body += data
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header.ljust(128, b"\0") + table + body
