"""Files that are either whole or not there: written under a temporary name, flushed, then moved."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError

# Windows refuses to replace a file that another program (a virus scanner, a viewer) holds open, mostly for
# well under a second.
REPLACE_TRIES = 10
REPLACE_WAIT_S = 0.1


def from_home(text: Path | str) -> Path:
    """A path with `~` replaced; where nobody has that name (`~0`), it is a name like others."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's own raises for unknown names.


def temporary_name(path: Path) -> Path:
    """A name beside `path` with an ending that no WebUI scans."""
    return path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path; its file becomes `path` when the block ends well and is removed otherwise."""
    path = Path(path)
    temporary = temporary_name(path)
    with folder_made(path.parent, blamed=path):
        try:
            yield temporary
            flush_to_disk(temporary)
            replace(temporary, path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_made(folder: Path, *, blamed: Path | None = None) -> Iterator[None]:
    """Makes a folder; if the block fails, what was made and is empty goes again. Errors name `blamed`."""
    made: list[Path] = []
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        remove_empty(made)
        raise unwritable(blamed or folder, error) from error
    except BaseException:
        remove_empty(made)
        raise


def remove_empty(folders: list[Path]) -> None:
    """Removes folders, the innermost first; one that holds something stays, and so do those around it."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def flush_to_disk(path: Path) -> None:
    """Asks the system to put a closed file's content on the disk."""
    # Windows can flush only through a handle opened for writing.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def replace(source: Path, target: Path) -> None:
    """`Path.replace`, tried again while another program holds the target open."""
    for attempt in range(REPLACE_TRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == REPLACE_TRIES - 1:
                raise
            time.sleep(REPLACE_WAIT_S)


def write_text(path: Path | str, text: str) -> None:
    """Writes UTF-8 text with plain line ends, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_bytes(path: Path | str, data: bytes) -> None:
    """Writes bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Writes readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def unwritable(path: Path, error: OSError) -> FileError:
    """The sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC):
        return FileError(
            "the disk is full, nothing was changed.",
            where=str(path),
            todo="Free some space and save again.",
            code="disk-full",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FileError(
            "this place cannot be written to.",
            where=str(path),
            todo="Choose a folder that you may write to, or close the program that holds the file.",
            code="not-writable",
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return FileError(
            "a file stands where a folder is needed.",
            where=str(path),
            todo="Name a folder.",
            code="not-a-folder",
        )
    if error.errno == errno.ENAMETOOLONG:
        return FileError(
            "the path is too long for this system.",
            where=str(path),
            todo="Use a shorter name or a folder nearer to the drive's top.",
            code="path-too-long",
        )
    reason = error.strerror or type(error).__name__
    return FileError(
        f"could not be written ({reason}).",
        where=str(path),
        todo="Check the folder and try again.",
        code="not-writable",
    )
