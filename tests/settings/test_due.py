from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth import settings
from lib_dreambooth.base.durations import NEVER, UNTIL_STOPPED, Duration, epochs, minutes, percent, steps
from lib_dreambooth.settings.due import due_steps, is_due
from lib_dreambooth.settings.length import plan_epoch, plan_length
from lib_dreambooth.settings.outline import Outline, outline
from lib_dreambooth.settings.schema import Run

PLAN = plan_length(plan_epoch([39], 4, 2), epochs(10))  # 5 steps an epoch, 50 in all
ENDLESS = plan_length(plan_epoch([39], 4, 2), UNTIL_STOPPED)


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (steps(20), [20, 40]),
        (epochs(3), [15, 30, 45]),
        (epochs(2.5), [13, 25, 38, 50]),  # 12.5 and 37.5 go up
        (percent(20), [10, 20, 30, 40, 50]),
        (percent(33), [17, 33, 50]),
        (epochs(0.1), list(range(1, 51))),
        (steps(100), []),
        (NEVER, []),
        (steps(0), []),
        (minutes(5), []),
    ],
)
def test_times_in_a_run_of_ten_epochs_of_five_steps(every: Duration, expected: list[int]) -> None:
    assert due_steps(every, PLAN) == expected
    assert [step for step in range(1, 51) if is_due(every, step, PLAN)] == expected


def test_an_endless_run_has_no_shares() -> None:
    assert due_steps(epochs(3), ENDLESS, last=40) == [15, 30]
    assert due_steps(percent(20), ENDLESS, last=40) == []


@given(st.floats(0.01, 50), st.sampled_from(["steps", "epochs", "percent"]))
def test_the_list_and_the_question_agree(amount: float, unit: str) -> None:
    every = Duration(amount, unit)
    assert due_steps(every, PLAN) == [step for step in range(1, 51) if is_due(every, step, PLAN)]


CASES: list[tuple[dict[str, Any], Outline]] = [
    ({}, Outline(50, (10, 20, 30, 40), (10, 20, 30, 40), {"LoRA": 5, "state": 1})),
    ({"saving.keep": 2}, Outline(50, (10, 20, 30, 40), (10, 20, 30, 40), {"LoRA": 3, "state": 1})),
    (
        {"saving.every": "never", "saving.at_end": ["result", "checkpoint"], "previews.every": "5 min"},
        Outline(50, (), None, {"LoRA": 1, "checkpoint": 1}),
    ),
    (
        {"network.kind": "none", "saving.at_end": ["result", "checkpoint"]},
        Outline(50, (10, 20, 30, 40), (10, 20, 30, 40), {"checkpoint": 5}),
    ),
    (
        {"parts.words.train": True, "saving.every": "20 steps", "saving.during": ["result", "state"]},
        Outline(50, (20, 40), (10, 20, 30, 40), {"LoRA": 3, "embedding": 3, "state": 1}),
    ),
    (
        {"parts.words.train": True, "saving.words_as": "bundle", "saving.every": "never"},
        Outline(50, (), (10, 20, 30, 40), {"LoRA": 1, "state": 1}),
    ),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_what_a_run_will_write(changes: dict[str, Any], expected: Outline) -> None:
    assert outline(settings.replace(Run(), changes), PLAN) == expected


def test_what_an_endless_run_will_write() -> None:
    changes = {"length.train_for": "until stopped", "saving.every": "1 epochs", "previews.every": "never"}
    found = outline(settings.replace(Run(), changes), ENDLESS)
    assert (found.total_steps, found.saves, found.previews) == (None, None, ())
