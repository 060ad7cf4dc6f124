"""Keeps the machine from going to sleep by itself, wherever the system lets a program ask for that."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

ES_CONTINUOUS = 0x80000000
ES_SYSTEM_REQUIRED = 0x00000001
END_WAIT_S = 2.0
WHY = "training"


@contextlib.contextmanager
def awake(platform: str = sys.platform) -> Iterator[None]:
    """For the block the machine does not fall asleep; screens still may. Never an error.

    Call it in the thread that does the work: Windows ties the wish to a thread. The child processes of other
    systems end with this process, even where it is killed.
    """
    if platform == "win32":
        with _windows():
            yield
        return
    child = _started(_command(platform))
    try:
        yield
    finally:
        _end(child)


@contextlib.contextmanager
def _windows() -> Iterator[None]:
    _set_state(ES_CONTINUOUS | ES_SYSTEM_REQUIRED)
    try:
        yield
    finally:
        _set_state(ES_CONTINUOUS)


def _set_state(flags: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        windll: Any = getattr(ctypes, "windll")  # noqa: B009 - the type checker knows it on Windows only
        windll.kernel32.SetThreadExecutionState(ctypes.c_uint(flags))


def _command(platform: str) -> Sequence[str]:
    """What keeps this system awake as long as it runs; empty where nothing is known."""
    if platform == "darwin":
        program = shutil.which("caffeinate")
        return [program, "-i", "-w", str(os.getpid())] if program else []
    program, reader = shutil.which("systemd-inhibit"), shutil.which("cat")
    if not platform.startswith("linux") or program is None or reader is None:
        return []
    # `cat` reads a pipe that nothing is ever written to: it ends when the last writer, this process, is gone.
    return [program, "--what=sleep:idle", "--who=Dreambooth", f"--why={WHY}", "--mode=block", reader]


def _started(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    if not command:
        return None
    try:
        # A session of its own, so that Ctrl+C in the terminal is for us alone.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None


def _end(child: subprocess.Popen[bytes] | None) -> None:
    if child is None:
        return
    with contextlib.suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
        child.terminate()
        try:
            child.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
