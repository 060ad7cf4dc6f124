"""Ctrl+C during a run: once to cancel, twice to be gone."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from lib_dreambooth.cli.output import Out
from lib_dreambooth.runs.commands import CommandBox, StopAfterStep

FIRST = "Cancelling: this step is finished and what the settings say is saved. Ctrl+C again to end at once."
SECOND = "Ended at once. What was saved before is whole; `resume` goes on from there."


@contextlib.contextmanager
def stopping(stop: threading.Event, out: Out) -> Iterator[None]:
    """For the block the first Ctrl+C asks for a stop and the second raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pressed(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        out.note("\nStopping after this picture. Ctrl+C again to end at once.")

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def cancelling(box: CommandBox, out: Out) -> Iterator[None]:
    """For the block the first Ctrl+C is a command to the run and the second raises KeyboardInterrupt.

    Files are written under other names and moved, so that breaking off leaves none half-written.
    """
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        yield
        return
    was_pressed = False

    def pressed(number: int, frame: FrameType | None) -> None:
        nonlocal was_pressed
        if was_pressed:
            raise KeyboardInterrupt
        was_pressed = True
        # From a thread of its own: the interrupted one may hold the lock of the box.
        threading.Thread(target=box.send, args=(StopAfterStep(),), daemon=True).start()
        out.note(f"\n{FIRST}")

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield
    except KeyboardInterrupt:
        out.note(f"\n{SECOND}")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
