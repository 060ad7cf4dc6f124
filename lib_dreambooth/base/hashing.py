"""SHA-256 of files of any size."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 1 << 22


def digest_of(file: BinaryIO) -> str:
    """SHA-256 of what follows in an open file, 64 hex digits."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of all of a file, 64 hex digits."""
    with path.open("rb") as file:
        return digest_of(file)


def remembered_sha256_of(path: Path) -> str:
    """The same, read once by this process for as long as the file stays as it is."""
    stat = path.stat()
    return _remembered(path.absolute(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@functools.lru_cache(maxsize=64)
def _remembered(path: Path, *_: int) -> str:
    return sha256_of(path)
