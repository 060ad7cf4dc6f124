"""`tell` to a run in another thread, which finds its commands in the model folder."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.runs.events import Event, Finished, Paused, Phase, Resumed, Sampled, Saved, Step
from lib_dreambooth.runs.lock import held
from lib_dreambooth.runs.reading import read_events
from tests.cli.made_settings import NAME, Shelf


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def told(shelf: Shelf, kind: type[Event]) -> list[Any]:
    path = shelf.folder() / "events.jsonl"
    return [event for event in read_events(path) if isinstance(event, kind)]


def wait_for(shelf: Shelf, kind: type[Event]) -> None:
    end = time.monotonic() + 60
    while not told(shelf, kind):
        assert time.monotonic() < end, f"no {kind.__name__} came"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_obeys(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    codes: list[int] = []
    words = ["train", "--name", NAME, "--length.train_for", "until stopped", "--rates.schedule", "constant"]
    words += ["--saving.every", "never", "--previews.size", "64", "--previews.steps", "1"]
    run = threading.Thread(target=lambda: codes.append(shelf.call(*words)[0]))
    run.start()
    try:
        wait_for(shelf, Step)
        for command, kind in (("pause", Paused), ("go-on", Resumed), ("save", Saved), ("sample", Sampled)):
            code, (said,) = shelf.stream("tell", NAME, command)
            assert (code, said["command"], said["is_taken"]) == (0, command, True)
            wait_for(shelf, kind)
        assert {event.what for event in told(shelf, Saved)} == {"result", "state"}
    finally:
        code, answer, remark = shelf.call("tell", NAME, "finish-epoch")
        run.join(60)
    assert code == 0 and answer == f"{NAME}: the run has taken `finish-epoch`.\n", remark
    assert codes == [0]
    finished = told(shelf, Finished)[-1]
    assert finished.outcome == "done" and finished.step % 2 == 0
    assert not list((shelf.folder() / "commands").iterdir())
    assert told(shelf, Phase)[0].name == "looking at the pictures"


def test_nothing_runs(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.call("new", NAME, "--base", str(MINI_CHECKPOINT))
    code, answer, remark = shelf.call("tell", NAME, "pause")
    assert (code, answer) == (2, "") and f"{NAME}: nothing is running for this model." in remark
    assert not (shelf.folder() / "commands").exists()


def test_a_busy_run_takes_it_later(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.call("new", NAME, "--base", str(MINI_CHECKPOINT))
    with held(shelf.folder()):
        code, (said,) = shelf.stream("tell", NAME, "cancel", "--wait", "0")
        assert (code, said["is_taken"]) == (0, False)
        assert len(list((shelf.folder() / "commands").iterdir())) == 1


@pytest.mark.parametrize("words", [["nobody", "pause"], [NAME, "dance"]])
def test_what_cannot_be_told(tmp_path: Path, words: list[str]) -> None:
    code, answer, remark = Shelf(tmp_path).call("tell", *words)
    assert (code, answer) == (2, "") and remark.count("\n") == 1
