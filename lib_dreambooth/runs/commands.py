"""What may be asked of a run, taken by it at safe points.

Within a process a command goes through memory; another process leaves a file in the model folder.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.files import write_json

log = logging.getLogger(__name__)
SUFFIX = ".json"
LARGEST_FILE = 4096
# Between two looks into the folder: a network drive needs milliseconds for each.
LOOK_EVERY_S = 0.25
Warn = Callable[[str, str], None]


@dataclass(frozen=True)
class Command:
    """`sequence` is the order in which the run received it, from 1."""

    sequence: int = 0


@dataclass(frozen=True)
class Pause(Command):
    """Leave the card to the user until GoOn."""


@dataclass(frozen=True)
class GoOn(Command):
    """End a pause."""


@dataclass(frozen=True)
class SaveNow(Command):
    """Save what a regular save would, and go on."""


@dataclass(frozen=True)
class MakeFiles(Command):
    """Write files for use of these kinds, whatever the settings save, and go on."""

    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class SampleNow(Command):
    """Draw previews, and go on."""


@dataclass(frozen=True)
class StopAfterStep(Command):
    """Cancel: end after this step and save what the settings say for it."""


@dataclass(frozen=True)
class StopAtEpochEnd(Command):
    """End when every picture had its turn."""


@dataclass(frozen=True)
class StopWithoutSaving(Command):
    """End at once; write nothing."""


KINDS: dict[str, type[Command]] = {
    "pause": Pause,
    "go-on": GoOn,
    "save-now": SaveNow,
    "make-files": MakeFiles,
    "sample-now": SampleNow,
    "stop-after-step": StopAfterStep,
    "stop-at-epoch-end": StopAtEpochEnd,
    "stop-without-saving": StopWithoutSaving,
}
KIND_OF = {kind: name for name, kind in KINDS.items()}


def to_json(command: Command) -> dict[str, Any]:
    """The one JSON form."""
    found: dict[str, Any] = {"kind": KIND_OF[type(command)], "sequence": command.sequence}
    return found | {"files": list(command.files)} if isinstance(command, MakeFiles) else found


def from_json(data: Any) -> Command:
    """The command that was written; raises ValueError for what is none."""
    kind = KINDS.get(str(data.get("kind"))) if isinstance(data, Mapping) else None
    sequence = data.get("sequence", 0) if isinstance(data, Mapping) else None
    if kind is None or type(sequence) is not int:
        raise ValueError("not a command")
    if kind is not MakeFiles:
        return kind(sequence=sequence)
    files = data.get("files")
    if not isinstance(files, list) or not all(isinstance(one, str) for one in files):
        raise ValueError("not a command")
    return MakeFiles(sequence=sequence, files=tuple(files))


def leave(inbox: Path, command: Command) -> Path:
    """Puts a command into a model folder's inbox, for whoever trains there."""
    # Names sort by time; what this machine's clock does in between is no matter to a person's clicks.
    path = inbox / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{SUFFIX}"
    write_json(path, to_json(command))
    return path


def _nobody(text: str, where: str) -> None:
    log.warning("%s: %s", where, text)


class CommandBox:
    """Where a run finds its commands; `send` may be called from any thread.

    Files that lie in the inbox when it is first looked into were meant for a run before: they are taken away,
    and `warn(text, where)` says so.
    """

    def __init__(self, inbox: Path | None = None, warn: Warn = _nobody) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Command] = []
        self._sequence = 0
        self._seen: set[str] = set()
        self._next_look = 0.0
        self.follow(inbox, warn)

    def follow(self, inbox: Path | None, warn: Warn = _nobody) -> None:
        """From now on commands come from this inbox too; only for whoever holds the model folder."""
        self._inbox = inbox
        self._warn = warn
        for path in self._files():
            self._take_file(path)
            warn("a command from before this run was left out.", path.name)

    def send(self, command: Command) -> Command:
        """Adds a command; gives it back with its number."""
        with self._changed:
            self._sequence += 1
            numbered = dataclasses.replace(command, sequence=self._sequence)
            self._waiting.append(numbered)
            self._changed.notify_all()
        return numbered

    def take(self, *, look: bool = False) -> list[Command]:
        """Everything asked for since the last call, in order. Cheap enough for every step.

        The inbox is looked into every quarter of a second, or now if `look` is set.
        """
        self._fetch(now=look)
        with self._changed:
            found, self._waiting = self._waiting, []
        return found

    def wait(self, timeout_s: float) -> list[Command]:
        """`take`, after waiting until there is something or the time is over."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.take()
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            with self._changed:
                if not self._waiting:
                    self._changed.wait(min(left, LOOK_EVERY_S))

    def _fetch(self, now: bool) -> None:
        if self._inbox is None or (not now and time.monotonic() < self._next_look):
            return
        self._next_look = time.monotonic() + LOOK_EVERY_S
        for path in self._files():
            text = self._take_file(path)
            try:
                command = from_json(json.loads(text))
            except (ValueError, RecursionError):
                self._warn("a file among the commands is none and was left out.", path.name)
            else:
                self.send(command)

    def _files(self) -> list[Path]:
        """Files not taken yet, oldest first; half-written ones have another ending."""
        if self._inbox is None:
            return []
        try:
            found = [path for path in self._inbox.iterdir() if path.suffix == SUFFIX]
        except OSError:
            return []
        return sorted(path for path in found if path.name not in self._seen)

    def _take_file(self, path: Path) -> str:
        """A file's text. It counts once, even where Windows will not let it be removed yet."""
        self._seen.add(path.name)
        text = ""
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_FILE).decode("utf-8", errors="replace")
            path.unlink()
            # Gone for good, so its name need not be remembered.
            self._seen.discard(path.name)
        except OSError as error:
            log.warning("%s: %s", path, error)
        return text
