"""The queue on the disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs import queue as queues
from lib_dreambooth.jobs.entries import (
    BROKEN_OFF,
    ENDED,
    RESUME,
    RUNNING,
    TRAIN,
    WAITING,
    Entry,
    finished,
    from_json,
    new_entry,
    shown,
    to_json,
)
from lib_dreambooth.jobs.queue import Queue
from lib_dreambooth.runs.lock import Holder

ROOT = Path(__file__).resolve().parents[2]
# A process of this machine that surely ended.
ADDER = """
import sys
from pathlib import Path
from lib_dreambooth.jobs.entries import TRAIN, new_entry
from lib_dreambooth.jobs.queue import Queue
queue = Queue(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    queue.add(new_entry(f"{sys.argv[2]}{number}", TRAIN))
"""


def models(queue: Queue) -> list[str]:
    return [entry.model for entry in queue.line().entries]


def filled(root: Path, *names: str) -> Queue:
    queue = Queue(root)
    for name in names:
        queue.add(new_entry(name, TRAIN, settings=f"# {name}"))
    return queue


def gone(entry: Entry) -> Entry:
    """The entry of a process that ended."""
    assert entry.owner is not None
    return replace(entry, owner=replace(entry.owner, pid=2**22 + 12345, process_start="never"))


def test_an_entry_comes_back_as_it_was() -> None:
    entry = new_entry("猫", RESUME, changes={"rates.learning_rate": 1e-4}, more_steps=50)
    assert from_json(json.loads(json.dumps(to_json(entry)))) == entry
    with pytest.raises(ValueError, match="not an entry"):
        from_json({"id": "x", "model": "a", "action": "delete"})
    for bad in (
        None,
        [],
        {"id": "x"},
        {**to_json(entry), "owner": {"pid": 1}},
        {**to_json(entry), "settings": 3},
    ):
        with pytest.raises(ValueError, match="not an entry"):
            from_json(bad)


def test_what_is_shown_names_no_process_and_no_settings() -> None:
    told = shown(new_entry("a", TRAIN, settings="secret"))
    assert "owner" not in told
    assert "settings" not in told
    assert told["is_here"] is True
    assert told["is_held"] is False


def test_order_moving_and_removing(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a", "b", "c", "d")
    ids = {entry.model: entry.id for entry in queue.line().entries}
    queue.move(ids["d"], 0)
    assert models(queue) == ["d", "a", "b", "c"]
    queue.move(ids["d"], 99)
    queue.move(ids["b"], -5)
    assert models(queue) == ["b", "a", "c", "d"]
    queue.remove(ids["a"])
    assert models(Queue(tmp_path)) == ["b", "c", "d"]
    with pytest.raises(UserError) as error:
        queue.remove(ids["a"])
    assert error.value.code == "no-such-entry"


def test_taking_goes_in_order_and_what_runs_stays_where_it_is(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a", "b")
    first = queue.take()
    assert first is not None
    assert (first.model, first.status, bool(first.began)) == ("a", RUNNING, True)
    for wrong in (lambda: queue.remove(first.id), lambda: queue.move(first.id, 0)):
        with pytest.raises(UserError) as error:
            wrong()
        assert error.value.code in ("is-running", "not-waiting")
    queue.update(finished(first, "failed", step=3, problem={"code": "x"}))
    second = queue.take()
    assert second is not None and second.model == "b"
    assert queue.take() is None
    ended = queue.entry(first.id)
    assert (ended.status, ended.outcome, ended.step, ended.problem) == (ENDED, "failed", 3, {"code": "x"})


def test_a_copy_with_a_change_goes_behind(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a", "b")
    old = queue.line().entries[0]
    made = queue.duplicate(old.id, lambda entry: replace(entry, settings=entry.settings + " changed"))
    assert made.id != old.id
    assert [entry.settings for entry in queue.line().entries] == ["# a", "# b", "# a changed"]


def test_stopping_after_the_current_one_holds_the_rest_back(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a", "b", "c")
    first = queue.take()
    assert first is not None
    queue.stop_after(True)
    assert queue.line().stops
    queue.update(finished(first, "done"))
    assert queue.take() is None
    line = queue.line()
    assert not line.stops
    assert [entry.is_held for entry in line.waiting] == [True, True]
    queue.release(line.waiting[1].id)
    found = queue.take()
    assert found is not None and found.model == "c"
    queue.release()
    found = queue.take()
    assert found is not None and found.model == "b"


def test_what_another_process_left_is_held_back_and_what_it_ran_is_over(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a", "b")
    running = queue.take()
    assert running is not None
    for entry in queue.line().entries:
        queue.update(gone(entry))
    again = Queue(tmp_path)
    assert [entry.is_lost for entry in again.line().entries] == [True, False]
    again.settle()
    lost, waiting = again.line().entries
    assert (lost.status, lost.outcome) == (ENDED, BROKEN_OFF)
    assert (waiting.status, waiting.is_held) == (WAITING, True)
    assert again.take() is None
    again.release()
    found = again.take()
    assert found is not None and found.model == "b"


def test_of_another_machine_nothing_is_taken_or_given_up(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a")
    elsewhere = Holder(7, "x", "another-machine", "2026-01-01T00:00:00Z")
    queue.update(replace(queue.line().entries[0], owner=elsewhere))
    assert queue.take() is None
    assert not queue.line().entries[0].is_held


def test_only_the_last_ended_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "KEPT_ENDED", 2)
    monkeypatch.setattr(queues, "MOST_WAITING", 4)
    queue = filled(tmp_path, "a", "b", "c", "d")
    with pytest.raises(UserError) as error:
        queue.add(new_entry("e", TRAIN))
    assert error.value.code == "queue-full"
    for _ in range(3):
        entry = queue.take()
        assert entry is not None
        queue.update(finished(entry, "done"))
    assert models(queue) == ["b", "c", "d"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"entries": 3}', '{"entries": null}', "\x00"])
def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: str) -> None:
    queue = filled(tmp_path, "a")
    queue.path.write_text(damage, encoding="utf-8")
    assert queue.line().entries == ()
    queue.add(new_entry("b", TRAIN))
    assert models(queue) == ["b"]
    assert queue.path.with_suffix(".damaged").read_text(encoding="utf-8") == damage


def test_a_damaged_entry_costs_itself(tmp_path: Path) -> None:
    queue = filled(tmp_path, "a", "b")
    data = json.loads(queue.path.read_text(encoding="utf-8"))
    data["entries"][0] = {"id": 5}
    queue.path.write_text(json.dumps(data), encoding="utf-8")
    assert models(queue) == ["b"]


def test_threads_lose_nothing(tmp_path: Path) -> None:
    queue = Queue(tmp_path)

    def add(name: str) -> None:
        for number in range(5):
            queue.add(new_entry(f"{name}{number}", TRAIN))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(models(queue)) == sorted(f"{name}{number}" for name in "abc" for number in range(5))


@pytest.mark.slow
def test_processes_lose_nothing_and_leave_theirs_held_back(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", ADDER, str(tmp_path), name, "10"], cwd=ROOT) for name in "xyz"
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    line = Queue(tmp_path).line()
    assert sorted(entry.model for entry in line.entries) == sorted(
        f"{n}{i}" for n in "xyz" for i in range(10)
    )
    assert all(entry.is_held for entry in line.entries)
