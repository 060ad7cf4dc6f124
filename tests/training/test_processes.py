"""Two processes train what one does with the same total batch; states of one are states of the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.together import card_of, for_processes
from lib_dreambooth.runs.events import Step
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.processes import ALONE, Processes, launched, portioned
from lib_dreambooth.training.state import Surroundings, TrainingState
from tests.training.helping_process import launch
from tests.training.made_runs import LORA, NUM_STEPS, MadeRun, joined, tensors_of

FROZEN_TEXT: dict[str, Any] = {"parts": {"text_encoder_1": {"train": False}}}
VALUES = joined(LORA, FROZEN_TEXT, {"length": {"batch_size": 2}})


def test_what_a_launcher_says() -> None:
    assert launched({}) == launched({"WORLD_SIZE": "1", "RANK": "0"}) == ALONE
    second = launched({"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"})
    assert second == Processes(3, 4, 1) and not second.is_main
    assert [second.place_of(number) for number in range(3)] == [3, 7, 11]


def test_alone_nothing_is_asked_of_anybody() -> None:
    assert ALONE.total(0.5) == 0.5 and ALONE.agreed({"a": 1}) == {"a": 1} and ALONE.agreed_number(3) == 3
    weight = torch.nn.Parameter(torch.ones(2))
    ALONE.sum_gradients([weight])
    ALONE.share([weight])
    assert weight.grad is None and ALONE.shared({"a": weight})["a"] is weight


def test_gradients_go_in_portions_of_one_type() -> None:
    tensors = [torch.ones(1 << 23), torch.ones(1 << 23), torch.ones(3), torch.ones(3, dtype=torch.float64)]
    assert [len(portion) for portion in portioned(tensors)] == [2, 1, 1]


def test_each_process_has_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    second = Processes(1, 2, 1)
    assert card_of("auto", second) == "auto"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [card_of(setting, second) for setting in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    assert card_of("auto", ALONE) == "auto"


def test_the_total_batch_stays_with_other_numbers_of_processes() -> None:
    def sourced_of(accumulation: int) -> settings.Sourced:
        return settings.update(settings.defaults(), {"length.accumulation": accumulation}, "test")

    sourced = sourced_of(3)
    state = TrainingState(1, text_of(sourced), Surroundings("x", processes=2), {})
    assert for_processes(sourced, state, 2).run.length.accumulation == 3
    assert for_processes(sourced, state, 1).run.length.accumulation == 6
    assert for_processes(sourced, state, 6).run.length.accumulation == 1
    assert for_processes(sourced, None, 6) is sourced
    # Who says another number means it.
    assert for_processes(sourced_of(4), state, 1).run.length.accumulation == 4
    with pytest.raises(UserError) as raised:
        for_processes(sourced, state, 4)
    assert raised.value.where == "length.accumulation"


@pytest.mark.slow
def test_two_processes_are_one_in_double_precision(tmp_path: Path) -> None:
    accumulated = joined(VALUES, {"length": {"accumulation": 2}})
    launch(tmp_path / "one", 1, name="one", values=accumulated, double=True)
    launch(tmp_path / "two", 2, name="two", values=VALUES, double=True)
    one, two = MadeRun(tmp_path / "one", accumulated), MadeRun(tmp_path / "two", VALUES)
    assert one.newest().step == two.newest().step == NUM_STEPS
    ours, theirs = one.state(), two.state()
    assert ours.keys() == theirs.keys()
    trained = [name for name in ours if name.startswith("trained/")]
    assert trained and all(ours[name].dtype == torch.float64 for name in trained)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in trained) < 1e-9
    assert max(float(ours[name].abs().max()) for name in trained) > 1e-3
    losses = [
        [event.loss for event in read_events(run.folder.events_path) if isinstance(event, Step)]
        for run in (one, two)
    ]
    assert len(losses[0]) == NUM_STEPS and losses[0] == pytest.approx(losses[1], rel=1e-9)
    # Only the main process wrote.
    assert len(two.files()) == 1 and len(two.states) == 1


@pytest.mark.slow
def test_gradients_of_a_step_in_single_precision_and_states_of_the_other(tmp_path: Path) -> None:
    short = {"length": {"train_for": "4 steps"}, "saving": {"at_end": ["result", "state"]}}
    accumulated = joined(VALUES, short, {"length": {"accumulation": 2}})
    launch(tmp_path / "one", 1, name="one", values=accumulated)
    launch(tmp_path / "two", 2, name="two", values=joined(VALUES, short))
    one, two = (
        torch.load(tmp_path / name / f"gradients of {name}.pt", weights_only=True) for name in ("one", "two")
    )
    assert sum(gradient is not None for gradient in one) > 100
    for ours, theirs in zip(one, two, strict=True):
        if ours is not None and ours.any():
            assert float((ours - theirs).norm() / ours.norm()) < 1e-5
        else:
            assert theirs is None or not theirs.any()
    # Each goes on with the other's number of processes.
    longer = {"length.train_for": "6 steps"}
    launch(tmp_path / "one", 2, name="more", values={}, resume=True, changes=longer)
    launch(tmp_path / "two", 1, name="more", values={}, resume=True, changes=longer)
    found = [MadeRun(tmp_path / name, {}) for name in ("one", "two")]
    assert [run.newest().step for run in found] == [6, 6]
    assert [run.newest().surroundings.processes for run in found] == [2, 1]
    files = [tensors_of(run.files()[-1]) for run in found]
    assert all(torch.allclose(files[0][name], files[1][name], atol=1e-3) for name in files[0])
