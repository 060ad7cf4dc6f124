"""One process at a time: a lock that ends with whoever holds it, so that it is never stale."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.base import files

POLL_S = 0.2


@contextlib.contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[BinaryIO]:
    """Holds the lock for the block; calls `waiting` once if another process has it.

    Give the yielded file to child processes as their stdin: the lock then lasts until the last of them has
    ended, even if this process is killed while a child still writes.
    """
    file = acquire(path)
    if file is None:
        waiting()
    while file is None:
        time.sleep(POLL_S)
        file = acquire(path)
    try:
        yield file
    finally:
        file.close()


def acquire(path: Path) -> BinaryIO | None:
    """The lock file if nobody else has it, else None."""
    try:
        return acquire_windows(path) if sys.platform == "win32" else acquire_posix(path)
    except OSError as error:
        raise files.unwritable(path, error) from error


def acquire_posix(path: Path) -> BinaryIO | None:
    """A lock on the open file; inherited with it, given up when its last copy is closed."""
    import fcntl

    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        # Some network drives have no locks. Going on without one is better than not starting.
        return file
    return file


def acquire_windows(path: Path) -> BinaryIO | None:
    """A file that cannot be deleted while anyone has it open is a lock: delete it, then make it anew."""
    try:
        path.unlink(missing_ok=True)
        return os.fdopen(
            os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)), "r+b"
        )
    except FileExistsError:
        return None
    except PermissionError:
        # Held by another process, unless it is the folder that refuses.
        if path.exists():
            return None
        raise
