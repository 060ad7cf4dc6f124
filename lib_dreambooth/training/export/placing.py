"""New files into place: made under a name that no host lists, then given one that nothing has yet."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import flush_to_disk, replace, temporary_name, unwritable
from lib_dreambooth.training.export.result import MODEL_YAML

log = logging.getLogger(__name__)

# How many names are tried while other programs hold files open.
TRIES = 3


def placed(folder: Path, make: Callable[[Path, str], None], stems: Iterator[str], ending: str = "") -> Path:
    """Lets `make` write to a temporary path in `folder` and gives that the first stem that can be had.

    A YAML file that `make` leaves beside it goes along. Raises FileError; then nothing is left behind.
    """
    failures: list[OSError] = []
    for stem in stems:
        staging = temporary_name(folder / stem)
        target = folder / f"{stem}{ending}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            make(staging, stem)
            move_together(staging, target)
            return target
        except (FileError, OSError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            failures.append(cause)
            # Another program holds a file of this name, or somebody removed the folder meanwhile.
            may_pass = isinstance(cause, (PermissionError, FileNotFoundError))
            if not may_pass or len(failures) == TRIES:
                raise unwritable(target, cause) from cause
            log.warning("%s could not be written (%s).", target, cause.strerror)
        finally:
            discard(staging)
            discard(staging.with_suffix(MODEL_YAML))
    raise AssertionError("there is always another stem")


def move_together(staging: Path, target: Path) -> None:
    """The file that says how to build a model goes first, so that the model is never there without it."""
    assert not target.exists(), f"{target} was free a moment ago"
    if staging.is_file():
        flush_to_disk(staging)
    yaml, yaml_target = staging.with_suffix(MODEL_YAML), target.with_name(target.stem + MODEL_YAML)
    has_yaml = yaml.is_file()
    if has_yaml:
        replace(yaml, yaml_target)
    try:
        replace(staging, target)
    except OSError:
        if has_yaml:
            replace(yaml_target, yaml)
        raise


def discard(path: Path) -> None:
    """Removes a file or folder if it is there."""
    try:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        log.warning("%s could not be removed.", path)


def require_space(folder: Path, num_bytes: int, what: str) -> None:
    """Raises FileError where the disk has no room for `what`."""
    free = free_bytes(folder)
    if free is not None and free < num_bytes:
        raise FileError(
            f"there is no room for {what}: {gigabytes(num_bytes)} are needed and {gigabytes(free)} are free.",
            where=str(folder),
            todo="Free some space, keep fewer files (Files Kept), or choose another Output Folder.",
            code="disk-full",
        )


def free_bytes(folder: Path) -> int | None:
    """Free space where a folder is or will be; None where it cannot be told."""
    try:
        place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
        return shutil.disk_usage(place).free
    except (OSError, StopIteration):
        return None


def gigabytes(num_bytes: int) -> str:
    """A size for people."""
    return f"{num_bytes / 1e9:.2f} GB"
