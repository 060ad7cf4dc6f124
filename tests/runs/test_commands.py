"""Commands reach a run once, from this process or another."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from lib_dreambooth.runs import commands
from lib_dreambooth.runs.commands import (
    KINDS,
    Command,
    CommandBox,
    GoOn,
    MakeFiles,
    Pause,
    SaveNow,
    StopAfterStep,
    from_json,
    leave,
    to_json,
)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "commands"


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_command_comes_back_from_json(kind: type[Command]) -> None:
    assert from_json(json.loads(json.dumps(to_json(kind(sequence=3))))) == kind(sequence=3)


def test_files_that_are_asked_for_come_back_from_json() -> None:
    command = MakeFiles(2, ("result", "checkpoint"))
    assert from_json(json.loads(json.dumps(to_json(command)))) == command
    with pytest.raises(ValueError):
        from_json({"kind": "make-files", "sequence": 1, "files": ["result", 3]})


@pytest.mark.parametrize("data", [None, [], {}, {"kind": "dance"}, {"kind": "pause", "sequence": "1"}, 5])
def test_what_is_no_command_is_refused(data: object) -> None:
    with pytest.raises(ValueError):
        from_json(data)


def test_commands_arrive_in_order_and_once() -> None:
    box = CommandBox()
    box.send(SaveNow())
    box.send(StopAfterStep())
    assert box.take() == [SaveNow(1), StopAfterStep(2)]
    assert box.take() == []


def test_another_process_leaves_files(inbox: Path) -> None:
    box = CommandBox(inbox)
    leave(inbox, Pause())
    leave(inbox, GoOn())
    assert box.take(look=True) == [Pause(1), GoOn(2)]
    assert box.take(look=True) == []
    assert list(inbox.iterdir()) == []


def test_files_from_before_the_run_are_left_out_with_a_warning(inbox: Path) -> None:
    old = leave(inbox, StopAfterStep())
    told: list[tuple[str, str]] = []
    box = CommandBox(inbox, lambda text, where: told.append((text, where)))
    assert told == [("a command from before this run was left out.", old.name)]
    assert box.take(look=True) == []
    leave(inbox, SaveNow())
    assert box.take(look=True) == [SaveNow(1)]


def test_a_file_from_a_clock_in_the_past_still_counts(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = CommandBox(inbox)
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    leave(inbox, SaveNow())
    assert box.take(look=True) == [SaveNow(1)]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"kind": "dance"}', b"\xff\xfe", b"[" * 4000])
def test_a_file_that_is_no_command_is_left_out_with_a_warning(inbox: Path, data: bytes) -> None:
    told: list[str] = []
    box = CommandBox(inbox, lambda text, where: told.append(where))
    inbox.mkdir()
    (inbox / "1.json").write_bytes(data)
    leave(inbox, SaveNow())
    assert box.take(look=True) == [SaveNow(1)]
    assert told == ["1.json"]
    assert list(inbox.iterdir()) == []


def test_half_written_files_wait(inbox: Path) -> None:
    box = CommandBox(inbox)
    inbox.mkdir()
    (inbox / ".1.tmp").write_bytes(b'{"kind"')
    assert box.take(look=True) == []
    assert [path.name for path in inbox.iterdir()] == [".1.tmp"]


def test_a_file_that_cannot_be_removed_counts_once(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = CommandBox(inbox)
    leave(inbox, SaveNow())

    def held(self: Path) -> None:
        raise PermissionError(13, "held by another program")

    monkeypatch.setattr(Path, "unlink", held)
    assert box.take(look=True) == [SaveNow(1)]
    assert box.take(look=True) == []


def test_steps_do_not_look_into_the_folder_each_time(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(commands.time, "monotonic", lambda: now)
    box = CommandBox(inbox)
    assert box.take() == []
    leave(inbox, SaveNow())
    assert box.take() == []
    now += commands.LOOK_EVERY_S
    assert box.take() == [SaveNow(1)]


def test_waiting_ends_with_a_command_of_another_thread() -> None:
    box = CommandBox()
    timer = threading.Timer(0.05, lambda: box.send(GoOn()))
    timer.start()
    assert box.wait(10) == [GoOn(1)]
    timer.join()


def test_waiting_ends_with_a_file_and_with_the_time(inbox: Path) -> None:
    box = CommandBox(inbox)
    assert box.wait(0.02) == []
    leave(inbox, GoOn())
    assert box.wait(10) == [GoOn(1)]
