"""Who has the card, and when: a run between two steps, pictures, token counters, pauses."""

from __future__ import annotations

import threading
import time

import pytest

from lib_dreambooth.hosts import turns as turns_module
from lib_dreambooth.hosts.turns import PATIENCE, Turns
from tests.hosts.lines import FairLock, MadeGuest, MadeLine, MadeResidents, in_thread, until

STEP_S = 0.01


class Stage:
    """A host with a run on it that takes steps in a thread of its own."""

    def __init__(self) -> None:
        self.lock, self.model_lock = FairLock(), threading.Lock()
        self.residents = MadeResidents()
        self.line = MadeLine(self.lock)
        self.is_training_first = False
        self.turns = Turns(
            self.lock, self.residents, self.line, lambda: self.is_training_first, self.model_lock
        )
        self.guest = MadeGuest(self.residents)
        self.steps = 0
        self.is_over = False
        self.wants_pause = threading.Event()
        self.goes_on = threading.Event()

    def train(self) -> None:
        with self.turns.lend():
            while not self.is_over:
                assert self.guest.is_on_card and not self.residents.is_on_card and not self.lock.is_free
                time.sleep(STEP_S)
                self.steps += 1
                self.turns.yield_point(self.guest)
                if self.wants_pause.is_set():
                    self.wants_pause.clear()
                    with self.turns.away(self.guest):
                        self.goes_on.wait(10)

    def start(self) -> threading.Thread:
        thread = in_thread(self.train)
        until(lambda: self.steps > 1)
        return thread

    def picture(self, name: str = "task(1)", *, is_announced: bool = True) -> str:
        """What a job of the WebUI does; gives what was on the card meanwhile."""
        if is_announced:
            self.line.announced[name] = time.monotonic()
        with self.lock:
            self.line.announced.pop(name, None)
            self.turns.before_picture()
            steps = self.steps
            time.sleep(3 * STEP_S)
            assert self.steps == steps, "a step was taken beside a picture"
            return f"host {self.residents.is_on_card}, run {self.guest.is_on_card}"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def end(stage: Stage, thread: threading.Thread) -> None:
    stage.is_over = True
    thread.join(10)
    assert not thread.is_alive()
    assert stage.lock.is_free and not stage.model_lock.locked() and stage.residents.is_on_card


def test_the_card_is_lent_and_given_back() -> None:
    stage = Stage()
    with stage.turns.lend():
        assert not stage.lock.is_free and stage.model_lock.locked() and not stage.residents.is_on_card
        assert stage.turns.is_training
    assert stage.lock.is_free and not stage.model_lock.locked() and stage.residents.is_on_card
    assert not stage.turns.is_training


def test_it_is_given_back_after_an_error() -> None:
    stage = Stage()
    with pytest.raises(RuntimeError, match="out of memory"), stage.turns.lend():
        raise RuntimeError("out of memory")
    assert stage.lock.is_free and stage.residents.is_on_card


def test_a_host_that_cannot_make_room_is_left_as_it_was() -> None:
    stage = Stage()
    stage.residents.error = MemoryError()
    with pytest.raises(MemoryError), stage.turns.lend():
        pytest.fail("nothing was lent")
    assert stage.lock.is_free and not stage.model_lock.locked() and stage.residents.is_on_card
    assert not stage.turns.is_training


def test_a_picture_is_made_between_two_steps(stage: Stage) -> None:
    thread = stage.start()
    assert stage.picture() == "host True, run False"
    before = stage.steps
    until(lambda: stage.steps > before + 1)
    end(stage, thread)
    assert stage.residents.log == [
        "host leaves", "run leaves", "host comes back", "host leaves", "run takes", "host comes back"
    ]  # fmt: skip


def test_a_picture_that_nobody_announced_finds_its_model_too(stage: Stage) -> None:
    thread = stage.start()
    assert stage.picture(is_announced=False) == "host True, run False"
    end(stage, thread)
    assert stage.residents.of("run leaves") == stage.residents.of("run takes") == 1


@pytest.mark.parametrize("number", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_many_at_once_have_their_turns_and_the_run_has_its_own(stage: Stage, number: int) -> None:
    thread = stage.start()
    found: list[str] = []
    others = [
        in_thread(lambda name=f"task({n})": found.append(stage.picture(name)))  # type: ignore[misc]
        for n in range(number)
    ]
    for other in others:
        other.join(20)
    assert found == ["host True, run False"] * number
    before = stage.steps
    until(lambda: stage.steps > before + 1)
    end(stage, thread)


def test_token_counters_are_answered_at_once_and_move_nothing(stage: Stage) -> None:
    thread = stage.start()
    waits: list[float] = []

    def count() -> None:
        begun = time.monotonic()
        with stage.lock:
            pass
        waits.append(time.monotonic() - begun)

    others = [in_thread(count) for _ in range(80)]
    for other in others:
        other.join(10)
    assert len(waits) == 80 and max(waits) < 1.0
    end(stage, thread)
    assert stage.residents.log == ["host leaves", "host comes back"]


def test_what_the_host_brought_to_the_card_by_itself_leaves_it_again(stage: Stage) -> None:
    thread = stage.start()
    with stage.lock:
        # A change of the checkpoint: no task, no picture, and the model is on the card afterwards.
        stage.residents.is_on_card = True
    before = stage.steps
    until(lambda: stage.steps > before + 1)
    end(stage, thread)
    assert stage.residents.log == ["host leaves", "host leaves", "host comes back"]


def test_a_job_that_never_comes_is_not_waited_for_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "ANNOUNCED_S", 0.01)
    stage.line.announced["task(failed before the lock)"] = 0.0
    thread = stage.start()
    until(lambda: stage.steps > 5 * PATIENCE)
    assert stage.residents.of("run leaves") == PATIENCE
    assert stage.picture("task(another)") == "host True, run False"
    end(stage, thread)


def test_without_anybody_there_the_lock_is_given_up_at_times(stage: Stage) -> None:
    given_up: list[str] = []
    release = stage.lock.release
    stage.lock.release = lambda: (given_up.append("now"), release())[1]  # type: ignore[method-assign]
    with stage.turns.lend():
        stage.turns.yield_point(stage.guest)
        assert not given_up
        time.sleep(turns_module.INTERVAL_S)
        stage.turns.yield_point(stage.guest)
        stage.turns.yield_point(stage.guest)
        assert len(given_up) == 1


def test_a_model_that_is_built_beside_the_queue_is_waited_for(stage: Stage) -> None:
    stage.model_lock.acquire()
    thread = in_thread(stage.train)
    time.sleep(5 * STEP_S)
    assert stage.steps == 0 and stage.residents.is_on_card
    stage.model_lock.release()
    until(lambda: stage.steps > 0)
    end(stage, thread)


def test_a_pause_leaves_everything_to_the_host(stage: Stage) -> None:
    thread = stage.start()
    stage.wants_pause.set()
    until(lambda: stage.residents.is_on_card and stage.lock.is_free)
    assert not stage.guest.is_on_card and not stage.turns.is_training
    assert stage.picture() == "host True, run False"
    stage.goes_on.set()
    before = stage.steps
    until(lambda: stage.steps > before + 1)
    end(stage, thread)
    assert stage.residents.of("run leaves") == stage.residents.of("run takes") == 1


@pytest.mark.slow
def test_training_first_lets_pictures_wait_for_its_end_and_nothing_else(stage: Stage) -> None:
    stage.is_training_first = True
    thread = stage.start()
    found: list[str] = []
    shown: list[str] = []

    def wait_for_picture() -> None:
        with stage.lock:
            assert stage.turns.before_picture(lambda: shown.append("why"))
            found.append(f"host {stage.residents.is_on_card}")

    other = in_thread(wait_for_picture)
    until(lambda: len(shown) > 1)
    before = stage.steps
    with stage.lock:
        pass
    until(lambda: stage.steps > before + 3)
    assert not found
    end(stage, thread)
    other.join(10)
    assert found == ["host True"]


@pytest.mark.parametrize("how", [pytest.param("the choice", marks=pytest.mark.slow), "a pause"])
def test_a_picture_that_waits_comes_when_the_user_wants_it(stage: Stage, how: str) -> None:
    stage.is_training_first = True
    thread = stage.start()
    shown: list[str] = []
    found: list[str] = []

    def wait_for_picture() -> None:
        with stage.lock:
            stage.turns.before_picture(lambda: shown.append("why"))
            found.append(f"host {stage.residents.is_on_card}, run {stage.guest.is_on_card}")

    other = in_thread(wait_for_picture)
    until(lambda: bool(shown))
    if how == "a pause":
        stage.wants_pause.set()
    else:
        stage.is_training_first = False
    other.join(10)
    assert found == ["host True, run False"]
    stage.goes_on.set()
    end(stage, thread)


def test_a_picture_that_is_given_up_does_not_wait(stage: Stage) -> None:
    stage.is_training_first = True
    thread = stage.start()
    with stage.lock:
        assert not stage.turns.before_picture(gives_up=lambda: True)
        assert stage.residents.is_on_card and not stage.guest.is_on_card
    end(stage, thread)
