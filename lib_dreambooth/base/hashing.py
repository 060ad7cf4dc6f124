"""SHA-256 of files of any size."""

from __future__ import annotations

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
