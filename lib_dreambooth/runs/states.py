"""States on the disk: written whole or not at all, told apart from damaged ones, pruned.

A state is a folder: tensors.safetensors, state.json, and manifest.json with the hash of both. It is made
under a temporary name, flushed, and renamed last: a process killed anywhere leaves the older states as they
were.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import unwritable
from lib_dreambooth.formats.folder import STATE_FILES
from lib_dreambooth.formats.safetensors_write import Pending, Serialized, serialize, write_fully
from lib_dreambooth.runs.manifests import MANIFEST, Digest, Manifest, manifest_of, write_manifest

log = logging.getLogger(__name__)
TENSORS, SCALARS = STATE_FILES
WRITE_BUFFER_BYTES = 1 << 20
# For the two JSON files and what a file system keeps for itself.
SLACK_BYTES = 1 << 20
# Windows keeps a folder in place while a virus scanner reads a file in it.
RENAME_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8)
MOST_NAMES = 9


def write_state(
    states_dir: Path,
    step: int,
    tensors: Mapping[str, Tensor | Pending],
    scalars: Mapping[str, Any],
    *,
    lineage: int = 0,
) -> Path:
    """Writes a state and gives its folder; raises FileError and leaves everything else as it was.

    `lineage` grows when a model starts over: a state of a later one counts as newer at any step.
    """
    chunks = serialize(tensors)
    text = json.dumps(scalars, ensure_ascii=False).encode("utf-8")
    check_space(states_dir, chunks.num_bytes + len(text))
    temporary = states_dir / f".{uuid.uuid4().hex[:12]}.tmp"
    try:
        temporary.mkdir(parents=True)
        files = {
            TENSORS: _write_tensors(temporary / TENSORS, chunks),
            SCALARS: _write_bytes(temporary / SCALARS, text),
        }
        write_manifest(temporary, Manifest(lineage, step, _next_written(states_dir), files))
        flush_folder(temporary)
        target = _rename(temporary, states_dir, step)
        flush_folder(states_dir)
    except OSError as error:
        raise unwritable(states_dir / state_name(step), error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def state_name(step: int, number: int = 1) -> str:
    """The folder's name; a second one of the same step ends in -2."""
    return f"step-{step:08d}" + (f"-{number}" if number > 1 else "")


def bytes_needed(tensors: Mapping[str, Tensor | Pending]) -> int:
    """How much of the disk a state with these tensors takes, the rest of it rounded up."""
    return serialize(tensors).num_bytes + SLACK_BYTES


def check_space(states_dir: Path, num_bytes: int) -> None:
    """Refuses before anything is written when the disk cannot hold a state of so many bytes."""
    try:
        folder = next(place for place in (states_dir, *states_dir.absolute().parents) if place.is_dir())
        free = shutil.disk_usage(folder).free
    except (OSError, StopIteration):
        # Writing will say what is wrong with this place.
        return
    needed = num_bytes + SLACK_BYTES
    if free < needed:
        raise FileError(
            f"the disk has {shown_bytes(free)} free and a state needs {shown_bytes(needed)}.",
            where=str(states_dir),
            todo="Free some space, or keep fewer states (saving.keep_states).",
            code="disk-full",
        )


def shown_bytes(count: int) -> str:
    """A size for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def flush_folder(path: Path) -> None:
    """Asks the system to put a folder's list of names on the disk, where it lets a program ask."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_tensors(path: Path, chunks: Serialized) -> Digest:
    digest = hashlib.sha256()
    with path.open("wb", buffering=WRITE_BUFFER_BYTES) as file:
        for chunk in chunks:
            write_fully(file, chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Digest(chunks.num_bytes, digest.hexdigest())


def _write_bytes(path: Path, data: bytes) -> Digest:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def _next_written(states_dir: Path) -> int:
    """One more than any state there has; no clock is asked."""
    found = [manifest_of(path) for path in states_dir.iterdir() if (path / MANIFEST).is_file()]
    return max((manifest.written for manifest in found if manifest), default=0) + 1


def _rename(temporary: Path, states_dir: Path, step: int) -> Path:
    """Gives the finished folder its name, or the next one where that is taken or held by a program."""
    problem: OSError | None = None
    for number in range(1, MOST_NAMES + 1):
        target = states_dir / state_name(step, number)
        if target.exists():
            continue
        for wait_s in (0.0, *RENAME_WAITS_S):
            time.sleep(wait_s)
            try:
                temporary.rename(target)
                return target
            except PermissionError as error:
                problem = error
            except OSError as error:
                if not target.exists():
                    raise
                # Somebody else just took this name.
                problem = error
                break
    raise problem or FileExistsError(errno.EEXIST, "every name for this step is taken")
