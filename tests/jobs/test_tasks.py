"""Work beside the runs: told of while it goes on, stopped, and never lost without a word."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.tasks import MOST_WAITING, Tasks, Watching
from lib_dreambooth.jobs.tool_files import LIST, note, tool_files
from lib_dreambooth.runs.folder import ModelFolder


class Gate:
    """Work that waits until it may go on."""

    def __init__(self) -> None:
        self.began, self.may_go = threading.Event(), threading.Event()

    def __call__(self, watching: Watching) -> dict[str, Any]:
        watching.tell(1, 2)
        self.began.set()
        assert self.may_go.wait(10)
        watching.tell(2, 2)
        return {"told": "all"}


def test_one_after_the_other_with_its_progress() -> None:
    tasks, gate = Tasks(), Gate()
    first = tasks.start("merge", "first", gate, "riho")
    second = tasks.start("resize", "second", lambda watching: {"two": 2})
    assert gate.began.wait(10)
    now = tasks.task(first.id)
    assert (now.status, now.done, now.total, now.model) == ("running", 1, 2, "riho")
    assert tasks.task(second.id).status == "waiting"
    gate.may_go.set()
    assert tasks.wait(10)
    assert [(one.title, one.status, one.answer) for one in tasks.all()] == [
        ("second", "done", {"two": 2}),
        ("first", "done", {"told": "all"}),
    ]
    assert tasks.task(first.id).ended >= tasks.task(first.id).added > 0


def test_what_fails_is_told_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    def refused(watching: Watching) -> dict[str, Any]:
        raise UserError("is not there.", where="a file", todo="Look.", code="no-such-file")

    def wrong(watching: Watching) -> dict[str, Any]:
        raise ZeroDivisionError("oops")

    tasks = Tasks()
    told = [
        tasks.start("x", "one", refused),
        tasks.start("x", "two", wrong),
        tasks.start("x", "three", dict_of),
    ]
    assert tasks.wait(10)
    found = [tasks.task(one.id) for one in told]
    assert [one.status for one in found] == ["failed", "failed", "done"]
    assert found[0].problem == {
        "code": "no-such-file",
        "what": "is not there.",
        "where": "a file",
        "todo": "Look.",
    }
    assert found[1].problem is not None and found[1].problem["code"] == "internal-error"
    assert "oops" in caplog.text


def dict_of(watching: Watching) -> dict[str, Any]:
    return {}


def test_a_stop_reaches_what_runs_and_what_waits() -> None:
    tasks, gate = Tasks(), Gate()
    first, second = tasks.start("x", "first", gate), tasks.start("x", "second", dict_of)
    assert gate.began.wait(10)
    tasks.cancel(first.id)
    tasks.cancel(second.id)
    gate.may_go.set()
    assert tasks.wait(10)
    assert [tasks.task(one.id).status for one in (first, second)] == ["cancelled", "cancelled"]
    tasks.cancel(first.id)
    with pytest.raises(UserError, match="no such task"):
        tasks.task(first.id)


def test_not_more_than_anybody_needs() -> None:
    tasks, gate = Tasks(), Gate()
    for number in range(MOST_WAITING):
        tasks.start("x", str(number), gate)
    with pytest.raises(UserError, match="too much is waiting"):
        tasks.start("x", "one more", gate)
    gate.may_go.set()
    assert tasks.wait(10)
    for number in range(40):
        tasks.start("x", f"later {number}", dict_of)
        assert tasks.wait(10)
    assert len(tasks.all()) == 30
    assert tasks.all()[0].title == "later 39"


def test_the_list_of_what_tools_made(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    assert tool_files(folder) == []
    note(folder, tmp_path / "a.safetensors", "checkpoint", "merged", step=10)
    note(folder, tmp_path / "猫.safetensors", "adapter", "resized", run_id="r1")
    note(folder, tmp_path / "a.safetensors", "checkpoint", "merged", step=20)
    found = tool_files(folder)
    assert [(Path(one.path).name, one.step, one.run_id) for one in found] == [
        ("猫.safetensors", 0, "r1"),
        ("a.safetensors", 20, ""),
    ]
    with (tmp_path / LIST).open("a", encoding="utf-8") as file:
        file.write('nonsense\n{"path": 1, "kind": "x", "reason": "y"}\n{"other": 1}\n[]\n')
    assert tool_files(folder) == found
