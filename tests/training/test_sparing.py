"""Memory that ends in a step: the step is repeated more sparingly and comes out the same."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.runs.events import DONE, Warned
from lib_dreambooth.training.precision.sparing import Sparing
from lib_dreambooth.training.trainer import stepping
from lib_dreambooth.training.trainer.spilling import IN_A_ROW, STEPS_SEEN, Watch, has_spilled
from tests.training.made_runs import MadeRun, assert_same

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


@pytest.mark.slow
def test_a_repeated_step_is_as_if_it_had_been_sparing_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the second micro-batch of the second step: gradients of the first are there already.
    ended = taken(tmp_path / "ended", monkeypatch, {4}, "off")
    sparing = taken(tmp_path / "sparing", monkeypatch, set(), "some")
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
    # off, some, on, offload: raised three times.
    assert run.warnings().count("saving-memory") == 3


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
