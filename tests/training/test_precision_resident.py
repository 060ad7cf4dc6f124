"""What the system says that a process has of memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lib_dreambooth.training.precision import resident as module
from lib_dreambooth.training.precision.resident import free_in_system, in_status, resident


def test_what_linux_says() -> None:
    assert in_status("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n") == (1 << 20, 1 << 21)
    assert in_status("Name:\tpython\n") == (0, 0)


def test_this_process() -> None:
    now, most = resident()
    if sys.platform in ("linux", "win32"):
        assert most >= now > 10_000_000


def test_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform in ("linux", "win32"):
        free = free_in_system()
        assert free is not None and free > 10_000_000
    monkeypatch.setattr(sys, "platform", "linux")
    told = tmp_path / "meminfo"
    monkeypatch.setattr(module, "OF_ALL", told)
    assert free_in_system() is None
    told.write_text("MemTotal:  4096 kB\nMemAvailable:    2048 kB\n", encoding="utf-8")
    assert free_in_system() == 1 << 21
    told.write_text("MemTotal:  4096 kB\n", encoding="utf-8")
    assert free_in_system() is None
