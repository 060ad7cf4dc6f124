"""Two processes train what one does with the same total batch; states of one are states of the other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli.running import taking_part
from lib_dreambooth.jobs import together
from lib_dreambooth.jobs.together import for_processes
from lib_dreambooth.runs.events import Step
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.processes import ALONE, Processes, card_of, launched, portioned
from lib_dreambooth.training.state import Surroundings, TrainingState
from tests.training.helping_process import GRADIENTS, carry_on, launch
from tests.training.made_runs import LORA, NUM_STEPS, MadeRun, joined

FROZEN_TEXT: dict[str, Any] = {"parts": {"text_encoder_1": {"train": False}}}
# Dropouts and all, in few layers.
FEW = {"network": {"include": ["unet.mid*"]}}
VALUES = joined(LORA, FROZEN_TEXT, FEW, {"length": {"batch_size": 1}})


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


def test_the_same_command_takes_part_in_other_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = argparse.Namespace(dry_run=True)
    assert taking_part(args) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert taking_part(args) is None
    monkeypatch.setenv("RANK", "1")
    assert taking_part(args) == 0
    followed: list[Processes] = []
    monkeypatch.setattr(together, "follow", lambda process: bool(followed.append(process)))
    assert taking_part(argparse.Namespace()) == 130
    assert followed == [Processes(1, 2, 1)]


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


SHORT = {"length": {"train_for": "2 steps"}, "saving": {"at_end": ["result", "state"]}}
TWICE = {"length": {"accumulation": 2}}
LONGER = {"length.train_for": "3 steps"}


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_two_processes_are_one(tmp_path: Path) -> None:
    double, single = (tmp_path / "double", tmp_path / "single")
    in_one = [
        {"root": str(double / "one"), "values": joined(VALUES, TWICE), "double": True},
        {"root": str(single / "one"), "values": joined(VALUES, SHORT, TWICE)},
    ]
    in_two = [
        {"root": str(double / "two"), "values": VALUES, "double": True},
        {"root": str(single / "two"), "values": joined(VALUES, SHORT)},
    ]
    carry_on(in_one)
    first = (single / "one" / GRADIENTS).read_bytes()
    # Each goes on with the state of the other.
    more = {"root": str(single / "one"), "values": {}, "changes": LONGER}
    # What the main process is asked for, all do.
    stopped = {"root": str(tmp_path / "stopped"), "values": VALUES, "stop_at": 2}
    launch(2, *in_two, more, stopped)
    assert MadeRun(tmp_path / "stopped", {}).newest().step == 2
    carry_on([{"root": str(single / "two"), "values": {}, "changes": LONGER}])
    same_weights(MadeRun(double / "one", {}), MadeRun(double / "two", {}))
    assert (single / "one" / GRADIENTS).read_bytes() == first
    same_gradients(single)
    found = [MadeRun(single / name, {}) for name in ("one", "two")]
    assert [run.newest().step for run in found] == [3, 3]
    assert [run.newest().surroundings.processes for run in found] == [2, 1]


def same_weights(one: MadeRun, two: MadeRun) -> None:
    """After 20 steps of AdamW in float64."""
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


def same_gradients(root: Path) -> None:
    """Of the first step, in float32."""
    one, two = (torch.load(root / name / GRADIENTS, weights_only=True) for name in ("one", "two"))
    assert sum(gradient is not None and bool(gradient.any()) for gradient in one) >= 10
    for ours, theirs in zip(one, two, strict=True):
        if ours is not None and ours.any():
            assert float((ours - theirs).norm() / ours.norm()) < 1e-5
        else:
            assert theirs is None or not theirs.any()
