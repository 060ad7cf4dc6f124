"""How a run stands, from what lies in its folder: nothing is trained here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.earlier import earlier_results
from lib_dreambooth.jobs.going_on import started_over, state_of
from lib_dreambooth.jobs.record import RunRecord, read_record, write_record
from lib_dreambooth.jobs.standing import standing_of
from lib_dreambooth.runs.events import CANCELLED, DONE, Event, Finished, Saved, Started
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.runs.states import write_state
from lib_dreambooth.settings.reading import defaults, update
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import Result


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    base = tmp_path / "base.safetensors"
    base.write_bytes(b"weights")
    return ModelFolder.create(tmp_path / "dreambooth", "zwx", base, "sd1")


def begun(folder: ModelFolder, run_id: str = "a", lineage: int = 0, settings: str = "") -> None:
    with EventLog(folder.events_path) as log:
        write_record(folder, RunRecord(run_id, lineage, settings, log.sequence))


def tell(folder: ModelFolder, *events: Event) -> None:
    with EventLog(folder.events_path) as log:
        for event in events:
            log.emit(event)


def state(folder: ModelFolder, step: int, lineage: int = 0) -> Path:
    return write_state(folder.states_dir, step, {"a": torch.ones(1)}, {"step": step}, lineage=lineage)


def ended(outcome: str, step: int) -> Finished:
    return Finished(outcome=outcome, step=step)


def test_a_record_round_trip(folder: ModelFolder) -> None:
    record = RunRecord("0123", 2, "history/0001.toml", 17)
    write_record(folder, record)
    assert read_record(folder) == record
    (folder.path / "run.json").write_text("[]", encoding="utf-8")
    assert read_record(folder) is None


def test_nothing_begun(folder: ModelFolder) -> None:
    found = standing_of(folder)
    assert not found.was_begun and not found.is_unfinished
    with pytest.raises(UserError, match="no state to go on from"):
        state_of(folder, found)


def test_killed_before_its_first_state(folder: ModelFolder) -> None:
    begun(folder)
    found = standing_of(folder)
    # Nothing is lost by a new run; going on begins again.
    assert found.was_begun and not found.is_unfinished and state_of(folder, found) is None


@pytest.mark.parametrize(
    ("outcome", "step", "is_unfinished", "has_rest"),
    [(DONE, 10, False, False), (DONE, 6, False, True), (CANCELLED, 6, True, True), ("", 6, True, True)],
)
def test_each_ending(
    folder: ModelFolder, outcome: str, step: int, is_unfinished: bool, has_rest: bool
) -> None:
    begun(folder)
    tell(folder, Started(run_id="a", num_steps=10), *([ended(outcome, step)] if outcome else []))
    state(folder, min(step, 6))
    found = standing_of(folder)
    assert (found.is_unfinished, found.has_rest) == (is_unfinished, has_rest)
    assert (found.step, found.num_steps) == (min(step, 6), 10)


def test_a_finished_run_that_was_made_longer_and_killed_while_preparing(folder: ModelFolder) -> None:
    begun(folder)
    tell(folder, Started(run_id="a", num_steps=10), ended(DONE, 10))
    state(folder, 10)
    begun(folder)
    assert standing_of(folder).is_unfinished


def test_started_over_and_killed_before_a_state_goes_on_with_the_new_run(folder: ModelFolder) -> None:
    begun(folder)
    tell(folder, Started(run_id="a", num_steps=10), ended(CANCELLED, 4))
    state(folder, 4)
    places = Folders(folder.path, folder.path, folder.path, folder.path)
    job = started_over(folder, defaults(), places)
    assert job.lineage == 1
    begun(folder, job.run_id, job.lineage)
    assert state_of(folder, standing_of(folder)) is None
    state(folder, 2, lineage=1)
    found = state_of(folder, standing_of(folder))
    assert found is not None and (found.step, found.lineage) == (2, 1)


def test_a_damaged_state_of_the_run_is_never_replaced_by_one_of_another(folder: ModelFolder) -> None:
    state(folder, 9)
    begun(folder, "b", lineage=1)
    (state(folder, 2, lineage=1) / "tensors.safetensors").write_bytes(b"torn")
    said: list[str] = []
    with pytest.raises(UserError, match="the only state is damaged"):
        state_of(folder, standing_of(folder), said.append)
    assert len(said) == 1 and "step-00000002" in said[0]


def test_files_of_a_run_from_its_events(folder: ModelFolder, tmp_path: Path) -> None:
    files = [tmp_path / f"zwx-{number}.safetensors" for number in range(4)]
    for file in files[:3]:
        file.write_bytes(b"12")
    saves = [
        Saved(paths=(str(file),), what=what, step=3 + number, epoch=1.5, reason=reason, num_bytes=2)
        for number, (file, what, reason) in enumerate(
            zip(
                files, ("result", "checkpoint", "result", "result"), ("regular", "regular", "end", "end"),
                strict=True,
            )
        )
    ]  # fmt: skip
    other = Saved(paths=(str(files[0]),), what="result", step=1)
    tell(folder, Started(run_id="z"), other, Started(run_id="a"), *saves, Started(run_id="a", first_step=3))
    found = earlier_results(folder, "a", defaults().run)
    assert found == [
        Result(files[0], "adapter", 3, 2, 2, ""),
        Result(files[1], "checkpoint", 4, 2, 2, ""),
        Result(files[2], "adapter", 5, 2, 2, "", is_final=True),
    ]
    whole = update(defaults(), {"network.kind": "none"}, "test").run
    assert [one.kind for one in earlier_results(folder, "a", whole)] == ["checkpoint"] * 3
