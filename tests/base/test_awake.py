"""Keeping the machine awake: asked for in each system's way, taken back, and never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib_dreambooth.base import awake as module
from lib_dreambooth.base.awake import awake

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="stand-ins are shell scripts; looks into /proc"
)


def wait_for(is_so: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What Windows is asked for."""
    found: list[int] = []

    def set_state(flags: ctypes.c_uint) -> int:
        found.append(flags.value)
        return 1

    kernel = SimpleNamespace(SetThreadExecutionState=set_state)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    return found


def test_windows_is_asked_and_the_wish_is_taken_back(asked: list[int]) -> None:
    with awake("win32"):
        assert asked == [0x80000001]
    assert asked == [0x80000001, 0x80000000]


def test_the_wish_is_taken_back_after_an_error(asked: list[int]) -> None:
    with contextlib.suppress(ValueError), awake("win32"):
        raise ValueError
    assert asked[-1] == 0x80000000


def test_a_windows_without_the_call_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ctypes, "windll", raising=False)
    with awake("win32"):
        pass


class Programs:
    """Stand-ins for the systems' programs; each writes its arguments and lives until its input ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "told"

    def add(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\necho "$$ $@" > "{self.told}.new"\nmv "{self.told}.new" "{self.told}"\n{body}\n'
        )
        path.chmod(0o755)

    def arguments(self) -> tuple[int, list[str]]:
        assert wait_for(self.told.is_file)
        pid, *words = self.told.read_text(encoding="utf-8").split()
        return int(pid), words


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Programs(tmp_path)


@linux
def test_macos_is_kept_awake_by_its_own_program_for_as_long_as_we_live(programs: Programs) -> None:
    programs.add("caffeinate", "exec sleep 60")
    with awake("darwin"):
        pid, words = programs.arguments()
        assert words == ["-i", "-w", str(os.getpid())]
        assert is_running(pid)
    assert not is_running(pid)


@linux
def test_linux_is_kept_awake_by_a_child_that_reads_our_pipe(programs: Programs) -> None:
    programs.add("systemd-inhibit", 'shift 4; exec "$@"')
    with awake("linux"):
        pid, words = programs.arguments()
        assert words[:2] == ["--what=sleep:idle", "--who=Dreambooth"] and words[-1].endswith("/cat")
        assert is_running(pid)
    assert not is_running(pid)


KILLED = """
import sys, time
from lib_dreambooth.base.awake import awake
with awake("linux"):
    print("on", flush=True)
    time.sleep(60)
"""


@linux
def test_no_child_outlives_a_process_that_is_killed(programs: Programs) -> None:
    programs.add("systemd-inhibit", 'shift 4; "$@"')
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == b"on"
        pid, _ = programs.arguments()
        assert is_running(pid)
        process.kill()
    assert wait_for(lambda: not is_running(pid))


@linux
def test_a_program_that_ends_at_once_or_will_not_end_is_no_error(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("systemd-inhibit", "exit 1")
    with awake("linux"):
        programs.arguments()
    monkeypatch.setattr(module, "END_WAIT_S", 0.1)
    programs.told.unlink()
    programs.add("systemd-inhibit", 'trap "" TERM; while true; do sleep 0.05; done')
    with awake("linux"):
        pid, _ = programs.arguments()
    assert not is_running(pid)


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd14"])
def test_without_a_program_nothing_is_started(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("something was started"))
    with awake(platform):
        pass


def test_a_program_that_cannot_be_started_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_command", lambda platform: [str(tmp_path / "none")])
    with awake("linux"):
        pass
