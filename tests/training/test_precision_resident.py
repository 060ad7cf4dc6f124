"""What the system says that a process has of memory."""

from __future__ import annotations

import sys

from lib_dreambooth.training.precision.resident import in_status, resident


def test_what_linux_says() -> None:
    assert in_status("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n") == (1 << 20, 1 << 21)
    assert in_status("Name:\tpython\n") == (0, 0)


def test_this_process() -> None:
    now, most = resident()
    if sys.platform in ("linux", "win32"):
        assert most >= now > 10_000_000
