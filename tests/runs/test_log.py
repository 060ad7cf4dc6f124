"""events.jsonl: nothing lost, nothing torn, nobody ends the run."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.runs import reading
from lib_dreambooth.runs.events import Event, Finished, Phase, Started, Step, Warned, from_line, to_line
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.runs.reading import Follower, events_of_run, last_event, last_events, read_events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "モデル" / "events.jsonl"


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Step)]


def numbers(events: list[Event]) -> list[int]:
    return [event.sequence for event in events]


def fill(path: Path, count: int) -> None:
    with EventLog(path) as log:
        for step in range(1, count + 1):
            log.emit(Step(step=step, loss=1 / step))


def test_events_are_numbered_over_all_runs(path: Path) -> None:
    fill(path, 3)
    fill(path, 2)
    assert numbers(read_events(path)) == [1, 2, 3, 4, 5]
    assert steps(read_events(path)) == [1, 2, 3, 1, 2]


def test_what_comes_back_is_what_was_written(path: Path) -> None:
    with EventLog(path, clock=lambda: 12.5) as log:
        event = log.emit(Warned(text="a"))
    assert event == Warned(text="a", sequence=1, time=12.5)
    assert read_events(path) == [event]


def test_a_clock_that_goes_backwards_changes_no_order(path: Path) -> None:
    times = iter([50.0, 10.0, 30.0])
    with EventLog(path, clock=lambda: next(times)) as log:
        for step in (1, 2, 3):
            log.emit(Step(step=step, loss=0))
    assert steps(read_events(path)) == [1, 2, 3]


@pytest.mark.parametrize(
    "torn", [b'{"kind":"st', b"\x00\x00\x00", b"{}", b'{"kind":"warned","sequence":9,"ti']
)
def test_a_torn_last_line_is_tolerated_then_repaired(path: Path, torn: bytes) -> None:
    fill(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert numbers(read_events(path)) == [1, 2, 3]
    last = last_event(path)
    assert last is not None and last.sequence == 3
    EventLog(path).close()
    assert path.read_bytes() == whole
    fill(path, 1)
    assert numbers(read_events(path)) == [1, 2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 400))
def test_wherever_a_writer_was_killed_the_rest_stays(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    fill(path, 3)
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = data.count(b"\n")
    fill(path, 1)
    assert numbers(read_events(path)) == list(range(1, whole + 2))


def test_damage_in_the_middle_costs_its_lines_only(path: Path) -> None:
    fill(path, 5)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\xff\xfe damaged \n"
    path.write_bytes(b"".join(lines))
    assert numbers(read_events(path)) == [1, 2, 4, 5]


def test_reading_goes_on_after_a_number(path: Path) -> None:
    fill(path, 10)
    assert numbers(read_events(path, after=7)) == [8, 9, 10]
    assert read_events(path, after=10) == []
    assert numbers(read_events(path, after=-1)) == list(range(1, 11))


def test_the_last_ones_are_read_from_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 200)
    for block in (7, 64, 200, 1 << 16):
        monkeypatch.setattr(reading, "BLOCK_BYTES", block)
        assert steps(last_events(path, 3)) == [198, 199, 200]
        assert steps(read_events(path, after=195)) == [196, 197, 198, 199, 200]
        assert len(last_events(path, 1000)) == 200


def test_a_large_file_costs_no_more_than_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 1)
    line = to_line(Phase(name="caching", sequence=1)) * 1000
    with path.open("ab") as file:
        for _ in range(100):
            file.write(line)
        file.write(to_line(Step(step=5, loss=0, sequence=2)))
    parsed = []
    monkeypatch.setattr(reading, "from_line", lambda one: parsed.append(one) or from_line(one))
    assert steps(read_events(path, after=1)) == [5]
    assert len(parsed) < 10


def test_a_follower_sees_each_event_once_and_no_half_line(path: Path) -> None:
    follower = Follower(path)
    assert follower.poll() == []
    fill(path, 2)
    assert numbers(follower.poll()) == [1, 2]
    line = to_line(Step(step=3, loss=0, sequence=3))
    with path.open("ab") as file:
        file.write(line[:10])
        file.flush()
        assert follower.poll() == []
        file.write(line[10:])
    assert numbers(follower.poll()) == [3]
    assert follower.poll() == []


def test_a_follower_outlives_a_repair(path: Path) -> None:
    fill(path, 2)
    with path.open("ab") as file:
        file.write(b"torn")
    follower = Follower(path)
    assert numbers(follower.poll()) == [1, 2]
    fill(path, 1)
    assert numbers(follower.poll()) == [3]


def test_following_ends_with_everything_read(path: Path) -> None:
    looks = iter([False, False, True])

    def is_over() -> bool:
        fill(path, 1)
        return next(looks)

    assert numbers(list(Follower(path).follow(is_over, poll_s=0))) == [1, 2, 3]


def test_listeners_hear_what_is_written(path: Path) -> None:
    heard: list[Event] = []
    with EventLog(path) as log:
        stop = log.listen(heard.append)
        first = log.emit(Step(step=1, loss=0))
        stop()
        stop()
        log.emit(Step(step=2, loss=0))
    assert heard == [first]


def test_a_listener_that_raises_is_told_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def bad(event: Event) -> None:
        raise RuntimeError("broken page")

    with caplog.at_level(logging.CRITICAL), EventLog(path) as log:
        log.listen(bad)
        log.listen(heard.append)
        for step in (1, 2, 3):
            log.emit(Step(step=step, loss=0))
    warnings = [event for event in read_events(path) if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "broken page" in warnings[0].text and warnings[0].code == "listener-failed"
    assert steps(read_events(path)) == [1, 2, 3] == sorted(steps(heard))


def test_a_full_disk_is_told_once_and_costs_only_its_events(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EventLog(path) as log:
        log.emit(Step(step=1, loss=0))
        file = log._file

        class Full:
            def write(self, data: bytes) -> int:
                assert file is not None
                file.write(data[:5])
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(log, "_file", Full())
        log.emit(Step(step=2, loss=0))
        log.emit(Step(step=3, loss=0))
        monkeypatch.setattr(log, "_file", file)
        log.emit(Step(step=4, loss=0))
    assert steps(read_events(path)) == [1, 4]
    assert len([record for record in caplog.records if "disk is full" in record.message]) == 1


def test_a_log_that_cannot_be_opened_still_tells_listeners(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    heard: list[Event] = []
    with EventLog(tmp_path / "file" / "events.jsonl") as log:
        log.listen(heard.append)
        log.emit(Step(step=1, loss=0))
    assert numbers(heard) == [1]


def test_threads_share_a_log(path: Path) -> None:
    with EventLog(path) as log:

        def work() -> None:
            for step in range(50):
                log.emit(Step(step=step, loss=0))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert numbers(read_events(path)) == list(range(1, 201))


def test_the_events_of_a_run_and_of_its_continuation(path: Path) -> None:
    with EventLog(path) as log:
        for run_id, step in (("a", 1), ("a", 2), ("b", 1)):
            log.emit(Started(run_id=run_id))
            log.emit(Step(step=step, loss=0))
            log.emit(Finished(outcome="done", step=step))
    assert numbers(events_of_run(path, "a")) == [1, 2, 3, 4, 5, 6]
    assert numbers(events_of_run(path)) == [7, 8, 9]
    assert events_of_run(path, "none") == []
    assert events_of_run(path.with_name("none")) == []
