"""Two processes never train in one folder.

The system's lock decides: it ends with its holder. Some network drives have none; there the note beside it
decides, which names the holder's process, its start and its machine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import unwritable, write_json
from lib_dreambooth.environments.exclusive import acquire
from lib_dreambooth.runs.folder import utc_now
from lib_dreambooth.runs.processes import is_alive, start_of

LOCK = "run.lock"
NOTE = "run.lock.json"
LARGEST_NOTE = 4096
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who trains in a folder; `process_start` tells two processes of one number apart."""

    pid: int
    process_start: str
    host: str
    since: str
    purpose: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == platform.node()

    @property
    def is_dead(self) -> bool:
        """Whether it surely ended; of another machine's process nothing is sure."""
        return self.is_here and not is_alive(self.pid, self.process_start)

    @property
    def is_this_process(self) -> bool:
        return self.is_here and self.pid == os.getpid() and self.process_start == start_of(self.pid)


@contextlib.contextmanager
def held(folder: Path, purpose: str = "training") -> Iterator[Holder | None]:
    """Holds a model folder for the block; yields who held it and never gave it back, if anybody.

    Raises UserError at once where it is in use.
    """
    file = _acquire(folder)
    try:
        left = read_holder(folder)
        if left is not None and not left.is_dead and not _locks_work(folder):
            raise in_use(folder, left)
        me = Holder(os.getpid(), start_of(os.getpid()), platform.node(), utc_now(), purpose)
        write_json(folder / NOTE, asdict(me))
        try:
            yield left
        finally:
            _forget(folder)
    finally:
        file.close()


def holder_of(folder: Path) -> Holder | None:
    """Who trains in a folder now, as far as can be told without disturbing; None if nobody does."""
    holder = read_holder(folder)
    return None if holder is None or holder.is_dead else holder


def require_free(folder: Path) -> None:
    """Raises UserError where a folder is in use; a look only, `held` decides."""
    holder = holder_of(folder)
    if holder is not None:
        raise in_use(folder, holder)


def read_holder(folder: Path) -> Holder | None:
    """The note of whoever holds or held the folder."""
    try:
        with (folder / NOTE).open("rb") as file:
            data = json.loads(file.read(LARGEST_NOTE).decode("utf-8"))
        return Holder(
            int(data["pid"]),
            str(data["process_start"]),
            str(data["host"]),
            str(data["since"]),
            str(data.get("purpose", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def in_use(folder: Path, holder: Holder | None) -> UserError:
    """The sentence for the second who wants to train in a folder."""
    if holder is None:
        who, todo = "another program", "Wait until it has ended, or stop it."
    elif holder.is_this_process:
        who, todo = "this program", "Wait until its run has ended, or cancel it."
    elif holder.is_here:
        who, todo = f"process {holder.pid} since {holder.since}", "Wait until it has ended, or cancel it."
    else:
        who = f"process {holder.pid} on {holder.host} since {holder.since}"
        todo = f"Wait until it has ended. If that computer is off for good, remove {NOTE} in the folder."
    return UserError(f"this model is in use by {who}.", where=folder.name, todo=todo, code="model-in-use")


def _acquire(folder: Path) -> BinaryIO:
    file = acquire(folder / LOCK)
    if file is None:
        raise in_use(folder, read_holder(folder))
    return file


def _locks_work(folder: Path) -> bool:
    """Whether this drive truly refuses a second holder, asked while the first is held."""
    second = acquire(folder / LOCK)
    if second is None:
        return True
    second.close()
    return False


def _forget(folder: Path) -> None:
    try:
        (folder / NOTE).unlink(missing_ok=True)
    except OSError as error:
        # The note names a process that will soon be gone, so it does no harm.
        log.warning("%s", unwritable(folder / NOTE, error))
