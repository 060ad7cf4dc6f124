"""Which file a model is trained from, and whether it is still that file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.hashing import remember_sha256, remembered_sha256_of

WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class BaseFile:
    """The base as it was when last looked at. `sha256` is empty until somebody has read the whole file."""

    path: str
    sha256: str
    size_bytes: int
    modified_ns: int


def describe(path: Path, sha256: str = "") -> BaseFile:
    """What the file system says of a base; a diffusers folder counts as all its weight files."""
    try:
        stats = [file.stat() for file in base_files(path)]
    except OSError as error:
        raise missing(path) from error
    if not stats:
        raise missing(path)
    size = sum(stat.st_size for stat in stats)
    return BaseFile(str(path.absolute()), sha256, size, max(stat.st_mtime_ns for stat in stats))


def base_files(path: Path) -> list[Path]:
    """The file itself, or what holds the weights of a diffusers folder."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in WEIGHTS and file.is_file())


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or over the hashes of a folder's weight files in the order of their names."""
    try:
        if not path.is_dir():
            return remembered_sha256_of(path)
        lines = [
            f"{remembered_sha256_of(file)} {file.relative_to(path).as_posix()}\n" for file in base_files(path)
        ]
    except OSError as error:
        raise missing(path) from error
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def is_untouched(base: BaseFile) -> bool:
    """Whether size and time of change are as they were; a quick look that opens nothing."""
    now = describe(Path(base.path))
    return (now.size_bytes, now.modified_ns) == (base.size_bytes, base.modified_ns)


def verified(base: BaseFile) -> BaseFile:
    """The record brought up to date: the file is read whole only if it was touched or never read.

    Raises FileError where another file lies in its place.
    """
    if base.sha256 and is_untouched(base):
        if Path(base.path).is_file():
            remember_sha256(Path(base.path), base.sha256)
        return base
    now = describe(Path(base.path), hash_of(Path(base.path)))
    if base.sha256 and now.sha256 != base.sha256:
        raise replaced(base, now)
    if not base.sha256 and now.size_bytes != base.size_bytes:
        raise replaced(base, now)
    return replace(now, path=base.path)


def missing(path: Path) -> FileError:
    """The sentence for a base that is not there."""
    return FileError(
        "the base checkpoint is not there.",
        where=str(path),
        todo="Put it back, or create a model from another checkpoint.",
        code="base-missing",
    )


def replaced(before: BaseFile, now: BaseFile) -> FileError:
    """The sentence for a base that became another file under the same name."""
    return FileError(
        f"the base checkpoint was replaced by another file (it had {before.size_bytes:,} bytes and "
        f"hash {before.sha256[:10] or 'unknown'}, now {now.size_bytes:,} bytes and {now.sha256[:10]}).",
        where=before.path,
        todo="Put the old file back to go on, or create a new model from the new one.",
        code="base-replaced",
    )
