"""Hashes of files that were written, and the one over the tensors put into a file's own header."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lib_dreambooth.base.hashing import digest_of, sha256_of
from lib_dreambooth.training.export.model_spec import HASH_KEY, HASH_START
from lib_dreambooth.training.export.result import Result

NUM_DIGITS = 64
EMPTY = HASH_START + "0" * NUM_DIGITS


def with_room_for_hash(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata whose hash is filled in when the tensors are in the file; none where nothing is to be said."""
    has_spec = any(key.startswith("modelspec.sai") for key in metadata)
    return {**metadata, HASH_KEY: EMPTY} if has_spec else dict(metadata)


def fill_in_hash(path: Path) -> None:
    """Puts the hash over the tensors into a header that has room for it."""
    with path.open("r+b") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = file.read(length)
        place = header.find(f'"{HASH_KEY}":"{EMPTY}"'.encode())
        if place < 0:
            return
        digest = digest_of(file)
        file.seek(8 + place + header[place:].index(EMPTY.encode()))
        file.write((HASH_START + digest).encode("ascii"))


def measured(result: Result) -> Result:
    """The result with the size and hash of what is on the disk."""
    path = result.path
    if path.is_dir():
        return replace(result, size=sum(one.stat().st_size for one in path.rglob("*") if one.is_file()))
    return replace(result, size=path.stat().st_size, sha256=sha256_of(path))
