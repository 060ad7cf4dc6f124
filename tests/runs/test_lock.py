"""One run at a time in a folder, and no lock outlives its holder."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs import lock
from lib_dreambooth.runs.lock import Holder, held, holder_of, read_holder
from lib_dreambooth.runs.processes import is_alive, start_of

ROOT = Path(__file__).resolve().parents[2]
HOLDS = """
import sys
from pathlib import Path
from lib_dreambooth.runs.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def another(folder: Path) -> subprocess.Popen[bytes]:
    """A process that holds the folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"held"
    return child


def write_note(folder: Path, holder: Holder) -> None:
    (folder / lock.NOTE).write_text(json.dumps(dataclasses.asdict(holder)), encoding="utf-8")


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network drive that grants every lock."""

    def granted(path: Path) -> BinaryIO:
        return path.open("a+b")

    monkeypatch.setattr(lock, "acquire", granted)


def me() -> Holder:
    return Holder(os.getpid(), start_of(os.getpid()), platform.node(), "2026-01-01T00:00:00Z")


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    with held(tmp_path, "training") as left:
        assert left is None
        holder = holder_of(tmp_path)
        assert holder is not None and holder.is_this_process and holder.purpose == "training"
    assert holder_of(tmp_path) is None


def test_a_second_run_in_this_process_is_refused_and_the_first_keeps_its_lock(tmp_path: Path) -> None:
    with held(tmp_path):
        with pytest.raises(UserError, match="this program") as caught, held(tmp_path):
            pass
        assert caught.value.code == "model-in-use"
        assert holder_of(tmp_path) is not None
    with held(tmp_path):
        pass


def test_an_error_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    with held(tmp_path) as left:
        assert left is None


def test_another_process_is_named_and_when_killed_succeeded(tmp_path: Path) -> None:
    child = another(tmp_path)
    try:
        with pytest.raises(UserError, match=f"process {child.pid} since"), held(tmp_path):
            pass
        holder = holder_of(tmp_path)
        assert holder is not None and holder.pid == child.pid
    finally:
        child.kill()
        child.communicate()
    assert holder_of(tmp_path) is None
    with held(tmp_path) as left:
        assert left is not None and left.pid == child.pid


def test_without_locks_the_note_of_a_living_process_refuses(tmp_path: Path, no_locks: None) -> None:
    write_note(tmp_path, me())
    with pytest.raises(UserError, match="in use"), held(tmp_path):
        pass
    assert read_holder(tmp_path) == me()


@pytest.mark.parametrize("change", [{"process_start": "earlier"}, {"pid": 2**22 + 1}])
def test_without_locks_the_note_of_a_dead_process_does_not(
    tmp_path: Path, no_locks: None, change: dict[str, object]
) -> None:
    dead = dataclasses.replace(me(), **change)  # type: ignore[arg-type]
    write_note(tmp_path, dead)
    with held(tmp_path) as left:
        assert left == dead


def test_without_locks_another_machine_is_believed(tmp_path: Path, no_locks: None) -> None:
    write_note(tmp_path, dataclasses.replace(me(), host="other-machine"))
    with pytest.raises(UserError, match="other-machine") as caught, held(tmp_path):
        pass
    assert lock.NOTE in caught.value.todo


def test_with_locks_a_renamed_machine_locks_nobody_out(tmp_path: Path) -> None:
    write_note(tmp_path, dataclasses.replace(me(), host="old-name"))
    with held(tmp_path) as left:
        assert left is not None and left.host == "old-name"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}', "null"])
def test_a_damaged_note_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / lock.NOTE).write_text(text, encoding="utf-8")
    with held(tmp_path) as left:
        assert left is None


def test_a_number_used_again_is_another_process() -> None:
    start = start_of(os.getpid())
    assert start and is_alive(os.getpid(), start)
    assert not is_alive(os.getpid(), start + "0")
    assert not is_alive(0, "") and not is_alive(-1, "")


def test_an_ended_child_that_nobody_asked_for_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    _wait_until(lambda: not is_alive(child.pid, ""))
    child.wait()


def _wait_until(condition: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
