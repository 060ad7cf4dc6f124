"""SHA-256 of files of any size."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 1 << 22
MOST_KNOWN = 64
# A file as it lies there: its path, size and times.
Key = tuple[Path, int, int, int]


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
    """The same, read once by this process for as long as the file stays as it is, in whatever thread."""
    key = _key(path)
    with _lock:
        found = _known.get(key)
        is_ours = found is None
        if found is None:
            found = _known[key] = Future()
            for old in list(_known)[:-MOST_KNOWN]:
                del _known[old]
    if is_ours:
        try:
            found.set_result(sha256_of(path))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
            found.set_exception(error)
            with _lock:
                _known.pop(key, None)
    return found.result()


def remember_sha256(path: Path, sha256: str) -> None:
    """What somebody wrote down about a file that has not changed since need not be read again."""
    known: Future[str] = Future()
    known.set_result(sha256)
    with _lock:
        _known.setdefault(_key(path), known)


def sha256_ahead(path: Path) -> threading.Thread:
    """Begins to read a file in a thread, for `remembered_sha256_of` to find it done."""
    thread = threading.Thread(target=_quietly, args=(path,), name="hashing", daemon=True)
    thread.start()
    return thread


def _quietly(path: Path) -> None:
    # Whoever asks for the hash is told what is the matter.
    with contextlib.suppress(OSError):
        remembered_sha256_of(path)


def _key(path: Path) -> Key:
    stat = path.stat()
    return path.absolute(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


_lock = threading.Lock()
_known: dict[Key, Future[str]] = {}
