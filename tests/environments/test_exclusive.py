"""The lock between two starts: one at a time, and never stale."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lib_dreambooth.environments import exclusive

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import subprocess, sys, time
from pathlib import Path
from lib_dreambooth.environments import exclusive
with exclusive.held(Path(sys.argv[1]), lambda: None) as lock:
    if sys.argv[2] == "with-child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)"], stdin=lock)
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path, kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), kind], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_free_lock_is_had_at_once(tmp_path: Path) -> None:
    with exclusive.held(tmp_path / "lock", lambda: pytest.fail("waited")):
        assert exclusive.acquire(tmp_path / "lock") is None
    again = exclusive.acquire(tmp_path / "lock")
    assert again is not None
    again.close()


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    first = exclusive.acquire(tmp_path / "lock")
    assert first is not None

    def second() -> None:
        with exclusive.held(tmp_path / "lock", lambda: order.append("waiting")):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    while not order:
        time.sleep(0.01)
    order.append("first done")
    first.close()
    thread.join(10)
    assert order == ["waiting", "first done", "second"]


def test_a_killed_holder_leaves_nothing_behind(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock", "alone")
    assert exclusive.acquire(tmp_path / "lock") is None
    process.kill()
    process.wait()
    with exclusive.held(tmp_path / "lock", lambda: None):
        pass


@pytest.mark.slow
def test_the_lock_outlives_a_killed_holder_while_its_child_works(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock", "with-child")
    process.kill()
    process.wait()
    assert exclusive.acquire(tmp_path / "lock") is None
    waited = []
    with exclusive.held(tmp_path / "lock", lambda: waited.append(time.monotonic())):
        assert len(waited) == 1
