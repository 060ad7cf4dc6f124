from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.base.durations import UNTIL_STOPPED, Duration, epochs, parse, percent, steps
from lib_dreambooth.settings.length import plan_epoch, plan_length, plan_line

# 13 pictures x 3 repeats in two buckets, batch 4, accumulation 2.
EPOCH = plan_epoch([25, 14], batch_size=4, accumulation=2)


def test_thirteen_pictures_with_three_repeats() -> None:
    assert EPOCH.num_visits == 39
    assert EPOCH.batches == (7, 4) and EPOCH.num_batches == 11
    assert EPOCH.steps == 6 and EPOCH.last_step_batches == 1


def test_the_line_shows_the_arithmetic() -> None:
    assert plan_line(plan_length(EPOCH, epochs(10)), pictures=13, repeats=3) == (
        "13 pictures x 3 repeats = 39 visits, in 2 buckets of 25 and 14; batch 4 gives 7 + 4 = 11 batches; "
        "accumulation 2 gives 6 steps an epoch, the last of 1 batch; 10 epochs = 60 steps"
    )
    mixed = plan_length(plan_epoch([936], 1), epochs(3))
    assert plan_line(mixed, pictures=13, repeats=36, class_items=468) == (
        "13 pictures x 36 repeats = 468 visits, with 468 class pictures 936; batch 1 gives 936 batches; "
        "936 steps an epoch; 3 epochs = 2,808 steps"
    )
    beside = plan_length(plan_epoch([12], 1, processes=2), UNTIL_STOPPED)
    assert plan_line(beside, pictures=12, beside=True) == (
        "12 pictures with their repeats = 12 visits, each with a class picture beside it; "
        "batch 1 gives 12 batches; 2 processes gives 6 steps an epoch; until stopped"
    )


@pytest.mark.parametrize(
    ("wish", "whole", "total", "passed"),
    [
        (epochs(10), False, 60, 10),
        (epochs(0.5), False, 3, 0.5),
        (steps(100), False, 100, 16 + 4 / 6),
        (steps(100), True, 102, 17),
        (steps(2), True, 6, 1),
        (epochs(0.01), False, 1, 1 / 6),
        (UNTIL_STOPPED, False, None, None),
    ],
)
def test_a_wished_length(wish: Duration, whole: bool, total: int | None, passed: float | None) -> None:
    plan = plan_length(EPOCH, wish, whole)
    assert plan.total_steps == total
    assert plan.epochs == passed


def test_durations_of_a_run_as_steps() -> None:
    plan = plan_length(EPOCH, epochs(10))
    assert [plan.steps_of(parse(text)) for text in ("10 %", "2 epochs", "7 steps", "5 min")] == [
        6,
        12,
        7,
        None,
    ]
    assert plan_length(EPOCH, UNTIL_STOPPED).steps_of(percent(10)) is None
    assert plan.num_epochs == 10


COUNTS = st.lists(st.integers(0, 200), min_size=1, max_size=6).filter(any)


@given(COUNTS, st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_every_visit_is_in_one_batch_and_every_batch_in_one_step(
    visits: list[int], batch: int, accumulation: int, processes: int
) -> None:
    epoch = plan_epoch(visits, batch, accumulation, processes)
    assert epoch.num_visits == sum(visits)
    for count, batches in zip(epoch.visits, epoch.batches, strict=True):
        assert (batches - 1) * batch < count <= batches * batch
    full = (epoch.steps - 1) * accumulation * processes
    assert full + epoch.last_step_batches == epoch.num_batches
    assert 1 <= epoch.last_step_batches <= accumulation * processes


@given(COUNTS, st.integers(1, 10_000))
def test_whole_epochs_are_the_nearest(visits: list[int], wished: int) -> None:
    epoch = plan_epoch(visits, 2)
    total = plan_length(epoch, steps(wished), whole_epochs=True).total_steps
    assert total is not None and total % epoch.steps == 0 and total >= epoch.steps
    assert total == epoch.steps or abs(total - wished) <= math.ceil(epoch.steps / 2)
