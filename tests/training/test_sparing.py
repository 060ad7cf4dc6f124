"""Memory that ends in a step: the step is repeated more sparingly and comes out the same."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.runs.commands import StopAfterStep
from lib_dreambooth.runs.events import DONE, Warned
from lib_dreambooth.training.optimizers import in_one_call
from lib_dreambooth.training.optimizers.names import table
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.precision.sparing import Sparing
from lib_dreambooth.training.state import SPARED
from lib_dreambooth.training.trainer import relief, spilling, stepping, work
from lib_dreambooth.training.trainer.relief import Spared, can_leave
from lib_dreambooth.training.trainer.spilling import IN_A_ROW, STEPS_SEEN, Watch, has_spilled
from tests.training.made_batches import made_run
from tests.training.made_runs import MadeRun, assert_same, at_step

OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
VALUES: dict[str, Any] = {
    "length": {"train_for": "3 steps", "batch_size": 2, "accumulation": 2},
    "network": {"dropout": 0.3},
    "saving": {"at_end": ["result", "state"]},
}


def ending(real: Any, calls: set[int]) -> Any:
    """Memory ends at these calls, after the loss is known."""
    counter = itertools.count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        if next(counter) in calls:
            raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return found

    return call


def taken(root: Path, monkeypatch: pytest.MonkeyPatch, calls: set[int], level: str) -> MadeRun:
    run = MadeRun(root, {**VALUES, "memory": {"checkpointing": level}}, num_pictures=5)
    with monkeypatch.context() as patch:
        patch.setattr(stepping, "losses_of", ending(stepping.losses_of, calls))
        assert run.run().outcome == DONE
    return run


@pytest.fixture(scope="module")
def sparing(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """The largest blocks computed twice from the first step on."""
    run = MadeRun(
        tmp_path_factory.mktemp("sparing"), {**VALUES, "memory": {"checkpointing": "some"}}, num_pictures=5
    )
    assert run.run().outcome == DONE
    return run


@pytest.mark.slow
def test_a_repeated_step_is_as_if_it_had_been_sparing_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparing: MadeRun
) -> None:
    # In the second micro-batch of the second step: gradients of the first are there already.
    ended = taken(tmp_path / "ended", monkeypatch, {4}, "off")
    assert_same(ended.state(), sparing.state())
    told = [one for one in ended.told(Warned) if one.code == "saving-memory"]
    assert len(told) == 1
    assert told[0].text.startswith("step 2: memory did not suffice. The largest blocks are computed twice")
    assert "saving-memory" not in sparing.warnings()


@pytest.mark.slow
def test_memory_that_never_suffices_still_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = MadeRun(tmp_path, VALUES, num_pictures=5)
    monkeypatch.setattr(stepping, "losses_of", ending(stepping.losses_of, set(range(1, 99))))
    with pytest.raises(UserError) as caught:
        run.run()
    assert caught.value.code == "out-of-memory"
    # off, some, on, offload: raised three times; then two pictures one by one.
    assert [one.where for one in run.told(Warned)] == ["memory.checkpointing"] * 3 + ["memory.pieces"]
    assert "fewer parts to train" in str(caught.value)


# Four pictures at once, at the last level, with what networks leave out by chance.
AT_LAST: dict[str, Any] = {
    "length": {"train_for": "3 steps", "batch_size": 4},
    "network": {"dropout": 0.3, "rank_dropout": 0.2},
    "saving": {"state_every": "1 steps", "at_end": ["result", "state"], "keep_states": 9},
}


def at_last(root: Path, **memory: Any) -> MadeRun:
    return MadeRun(root, {**AT_LAST, "memory": {"checkpointing": "offload", **memory}}, num_pictures=5)


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    run = at_last(tmp_path_factory.mktemp("in_pieces"), pieces=2)
    assert run.run().outcome == DONE
    return run


def too_many(real: Any, most: int) -> Any:
    """Memory ends wherever more than so many pictures are taken at once."""

    def call(ready: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        if len(batch.captions) > most:
            raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(ready, batch, *args, **kwargs)

    return call


class Ending(torch.autograd.Function):
    """Memory ends in the backward pass."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> Any:
        raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB.")


def fails_backward(calls: Any) -> Any:
    real, counter = stepping.losses_of, itertools.count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        losses = real(*args, **kwargs)
        if next(counter) in calls:
            return replace(losses, total=Ending.apply(losses.total))
        return losses

    return call


@pytest.mark.slow
def test_at_the_last_level_batches_are_split_and_a_state_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_pieces: MadeRun
) -> None:
    run = at_last(tmp_path)
    with monkeypatch.context() as patch:
        # The whole batch of the first step, once.
        patch.setattr(stepping, "losses_of", fails_backward({1}))
        assert run.run(at_step(2, StopAfterStep())).step == 2
    told = [one for one in run.told(Warned) if one.code == "saving-memory"]
    assert [one.text for one in told] == [
        "step 1: memory did not suffice. Batches are taken in 2 parts one after the other from here on. "
        "The result is the same but for rounding, steps take longer."
    ]
    assert told[0].where == "memory.pieces"
    # Gone on with in pieces from the first step on: the whole would end the run.
    with monkeypatch.context() as patch:
        patch.setattr(stepping, "losses_of", too_many(stepping.losses_of, most=2))
        assert run.go_on().outcome == DONE
    assert run.warnings().count("saving-memory") == 1
    assert_same(run.state(), in_pieces.state())
    # On another device it is as the settings have it.
    kept = run.newest().numbers[SPARED]
    assert Spared.from_json(kept, "another card") == Spared()
    assert Spared.from_json(kept, kept["device"]) == Spared(kept["device"], "offload", 2)


@pytest.mark.slow
def test_before_that_what_the_optimizer_remembers_leaves_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a card, which alone has something to leave."""
    straight = at_last(tmp_path / "straight")
    assert straight.run().outcome == DONE
    moved: list[int] = []
    real = Optimizer.keep_state_in_system_memory

    def keep(optimizer: Optimizer) -> None:
        moved.append(len(optimizer.state()[0]))
        real(optimizer)

    run = at_last(tmp_path / "leaving")
    with monkeypatch.context() as patch:
        patch.setattr(relief, "can_leave", lambda ready: not ready.optimizer.is_state_away)
        patch.setattr(Optimizer, "keep_state_in_system_memory", keep)
        # In the second step: the first has left something to remember.
        patch.setattr(stepping, "losses_of", fails_backward({2}))
        assert run.run(at_step(2, StopAfterStep())).step == 2
        assert len(moved) == 1 and moved[0] > 0
        [told] = [one for one in run.told(Warned) if one.code == "saving-memory"]
        assert told.where == "memory.optimizer_state"
        assert told.text == (
            "step 2: memory did not suffice. What the optimizer remembers waits in system memory from here "
            "on. The result is the same, steps take longer."
        )
        kept = run.newest().numbers[SPARED]
        assert Spared.from_json(kept, kept["device"]).is_state_away
        # There from the first step on, and before the state is read.
        assert run.go_on().outcome == DONE
    assert moved[1:] == [0]
    assert run.warnings().count("saving-memory") == 1
    assert_same(run.state(), straight.state())


@pytest.mark.slow
def test_a_split_batch_learns_what_the_whole_would(tmp_path: Path, in_pieces: MadeRun) -> None:
    whole = at_last(tmp_path)
    assert whole.run().outcome == DONE
    one, other = whole.state(), in_pieces.state()
    assert list(one) == list(other)
    for name, tensor in one.items():
        if name.startswith("trained/"):
            torch.testing.assert_close(other[name], tensor, rtol=0.01, atol=2e-5)


@pytest.mark.slow
def test_memory_that_ends_before_the_first_move_ends_it_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparing: MadeRun
) -> None:
    ended = MadeRun(tmp_path / "ended", VALUES, num_pictures=5)
    real, counter = torch.zeros_like, itertools.count(1)

    def zeros(*args: Any, **kwargs: Any) -> Any:
        # In the middle of what AdamW begins with.
        if next(counter) == 7:
            raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(in_one_call.torch, "zeros_like", zeros)
        assert ended.run().outcome == DONE
    assert next(counter) > 7
    assert_same(ended.state(), sparing.state())
    assert ended.warnings().count("saving-memory") == 1


@pytest.mark.slow
def test_a_spill_is_met_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that is full while steps take ten times as long: Windows moves memory away without a word."""
    values = {
        "length": {"train_for": "6 steps", "batch_size": 1},
        "parts": {"text_encoder_1": {"train": False}},
        "saving": {"at_end": ["result", "state"]},
    }
    spilled = MadeRun(tmp_path / "spilled", {**values, "memory": {"checkpointing": "off"}}, num_pictures=5)
    now, real = [0.0], stepping.Stepper.take

    def take(self: Any, step: int, batches: Any) -> Any:
        now[0] += 10.0 if 3 <= step < 5 else 1.0
        return real(self, step, batches)

    with monkeypatch.context() as patch:
        patch.setattr(spilling, "STEPS_SEEN", 3)
        patch.setattr(work, "SPILLS", True)
        patch.setattr(work, "room_of", lambda device: (10, 1000))
        patch.setattr(work, "time", SimpleNamespace(monotonic=lambda: now[0]))
        patch.setattr(stepping.Stepper, "take", take)
        assert spilled.run().outcome == DONE
    told = [one for one in spilled.told(Warned) if one.code == "saving-memory"]
    assert [one.text for one in told] == [
        "step 5: the card is full and steps take many times as long as before. The largest blocks are "
        "computed twice from here on. The result is the same, steps take longer."
    ]
    sparing = MadeRun(tmp_path / "sparing", {**values, "memory": {"checkpointing": "some"}}, num_pictures=5)
    assert sparing.run().outcome == DONE
    assert_same(spilled.state(), sparing.state())


@pytest.mark.parametrize(
    ("kind", "network", "name", "is_away", "expected"),
    [
        ("cuda", "none", "adamw", False, True),
        ("cuda", "none", "adamw", True, False),
        ("cuda", "none", "prodigy", False, False),
        ("cuda", "lora", "adamw", False, False),
        ("cpu", "none", "adamw", False, False),
    ],
)
def test_where_it_can_leave(kind: str, network: str, name: str, is_away: bool, expected: bool) -> None:
    ready: Any = SimpleNamespace(
        device=torch.device(kind),
        run=made_run({"network.kind": network}),
        optimizer=SimpleNamespace(known=table()[name], is_state_away=is_away),
    )
    assert can_leave(ready) is expected


def test_levels_are_raised_one_by_one_and_leave_no_trace() -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.resnets = nn.ModuleList([nn.Linear(2, 2)])

    unet = Blocks()
    with Sparing(lambda: {UNET: unet}, "off") as sparing:
        assert "forward" not in vars(unet.resnets[0])
        assert [sparing.raise_level() for _ in range(4)] == ["some", "on", "offload", None]
        assert "forward" in vars(unet.resnets[0])
    assert "forward" not in vars(unet.resnets[0])


USUAL = [1.0] * STEPS_SEEN


@pytest.mark.parametrize(
    ("earlier", "latest", "free", "expected"),
    [
        (USUAL, [9.0, 8.0], 10, True),
        (USUAL, [9.0, 8.0], 500, False),  # the card is not full
        (USUAL, [9.0, 1.0], 10, False),  # one slow step is anything
        (USUAL, [2.5, 2.5], 10, False),
        (USUAL[:-1], [9.0, 8.0], 10, False),  # too early to say
    ],
)
def test_a_spill_is_a_jump_with_the_card_full(
    earlier: list[float], latest: list[float], free: int, expected: bool
) -> None:
    assert has_spilled(earlier, latest, free, 1000) is expected


def test_no_card_never_spills() -> None:
    assert not has_spilled(USUAL, [99.0, 99.0], 0, 0)


@given(st.lists(st.floats(0.9, 1.1), min_size=STEPS_SEEN, max_size=30))
def test_the_watch_sees_a_jump_once(times: list[float]) -> None:
    watch = Watch()
    assert not any(watch.add(one, 0, 100) for one in times)
    found = [watch.add(20.0, 0, 100) for _ in range(IN_A_ROW + 3)]
    assert found == [False] * (IN_A_ROW - 1) + [True] + [False] * 3
