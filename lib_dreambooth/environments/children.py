"""Runs a command to its end, passing on what it is told and what it answers, the same on every system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

CANCELLED = 130
WINDOWS_CTRL_C = 0xC000013A


def run(command: Sequence[str], *, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> int:
    """The exit code of a command that has this process's terminal; a Ctrl-C is the child's to answer."""
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(environ or {})})
    with passing_on_termination(process):
        while True:
            # Ctrl-C reaches the child as well. It stops at its next safe point; that takes its time.
            with contextlib.suppress(KeyboardInterrupt):
                return exit_code(process.wait())


def exit_code(code: int) -> int:
    """A process ended by Ctrl-C is 130, by another signal 128 and its number."""
    if code in (-signal.SIGINT, WINDOWS_CTRL_C, WINDOWS_CTRL_C - (1 << 32)):
        return CANCELLED
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def passing_on_termination(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While the child runs, a request to end this process is handed to it."""
    previous: Callable[..., object] | int | None
    previous = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
