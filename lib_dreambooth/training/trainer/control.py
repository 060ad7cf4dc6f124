"""What a run is asked for while it is under way, looked at wherever it can safely stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from lib_dreambooth.base.errors import Cancelled
from lib_dreambooth.base.host import Alone, Sharing
from lib_dreambooth.runs.commands import (
    Command,
    GoOn,
    MakeFiles,
    Pause,
    SampleNow,
    SaveNow,
    StopAfterStep,
    StopAtEpochEnd,
    StopWithoutSaving,
)
from lib_dreambooth.runs.events import Event, Paused, Resumed

WAIT_S = 0.5
STOPS = (StopAfterStep, StopAtEpochEnd, StopWithoutSaving)


class Commands(Protocol):
    """Where commands come from; `runs.commands.CommandBox` is one."""

    def take(self, *, look: bool = False) -> Sequence[Command]: ...

    def wait(self, timeout_s: float) -> Sequence[Command]: ...


class Control:
    """Takes commands at safe points; what they ask for stands here until the loop has done it.

    It is the guest on a card that is shared: the trainer says how the run leaves it and takes it again, and
    which switches of the process are its own.
    """

    def __init__(
        self,
        commands: Commands,
        emit: Callable[[Event], object],
        sharing: Sharing | None = None,
    ) -> None:
        self._commands = commands
        self._emit = emit
        self._sharing: Sharing = Alone() if sharing is None else sharing
        self.on_leave: Callable[[], None] = lambda: None
        self.on_take: Callable[[], None] = lambda: None
        self.on_aside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.stop: type[Command] | None = None
        self.wants_save = False
        self.wants_samples = False
        # Kinds of files that somebody asked for, to be written after the step.
        self.wants_files: tuple[str, ...] = ()
        # Kinds of files that the run is only there to write: it takes no step.
        self.makes: tuple[str, ...] = ()
        self.step = 0
        # In pauses and in turns that the host took.
        self.seconds_away = 0.0

    @property
    def is_discarded(self) -> bool:
        return self.stop is StopWithoutSaving

    def leave_card(self) -> None:
        """All that the run has goes to system memory."""
        self.on_leave()

    def take_card(self) -> None:
        """Back to where it was."""
        self.on_take()

    def aside(self) -> AbstractContextManager[None]:
        """The process' switches as they were before the run, for a block."""
        return self.on_aside()

    def look(self) -> None:
        """A safe point between steps: the host's turn, then commands; waits out a pause."""
        started = time.monotonic()
        self._sharing.yield_point(self)
        self.seconds_away += time.monotonic() - started
        paused = self._obey(self._commands.take())
        if paused and self.stop is None:
            self._wait()

    def check(self) -> None:
        """A safe point inside a phase; raises Cancelled where the phase is not to be finished."""
        self.look()
        if self.stop in (StopAfterStep, StopWithoutSaving):
            raise Cancelled

    def asks_to_stop(self) -> bool:
        """The same as an answer, for pictures: theirs is the only work that is thrown away half-done."""
        self.look()
        return self.stop in (StopAfterStep, StopWithoutSaving)

    def rest(self, seconds: float) -> None:
        """Leaves the card alone for so long; any stop ends it, going on does too."""
        with self._away():
            end = time.monotonic() + seconds
            while self.stop is None and (left := end - time.monotonic()) > 0:
                found = self._commands.wait(min(left, WAIT_S))
                self._obey(found)
                if any(isinstance(command, GoOn) for command in found):
                    return

    def _wait(self) -> None:
        with self._away():
            is_paused = True
            while is_paused and self.stop is None:
                is_paused = self._obey(self._commands.wait(WAIT_S), is_paused)

    @contextmanager
    def _away(self) -> Iterator[None]:
        started = time.monotonic()
        passed = 0.0
        try:
            with self._sharing.away(self):
                self._emit(Paused(step=self.step))
                try:
                    yield
                finally:
                    passed = time.monotonic() - started
        finally:
            self.seconds_away += passed
            self._emit(Resumed(step=self.step, seconds_paused=passed))

    def _obey(self, commands: Sequence[Command], is_paused: bool = False) -> bool:
        """Notes what is asked for; gives whether the run is to pause after all of it."""
        for command in commands:
            if isinstance(command, Pause):
                is_paused = True
            elif isinstance(command, GoOn):
                is_paused = False
                if self.stop is StopAtEpochEnd:
                    self.stop = None
            elif isinstance(command, SaveNow):
                self.wants_save = True
            elif isinstance(command, MakeFiles):
                self.wants_files = tuple(dict.fromkeys((*self.wants_files, *command.files)))
            elif isinstance(command, SampleNow):
                self.wants_samples = True
            elif isinstance(command, STOPS) and not self.is_discarded:
                # A later stop counts, but what was thrown away is not saved after all.
                self.stop = type(command)
        return is_paused
