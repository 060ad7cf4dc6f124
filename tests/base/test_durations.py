from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.base.durations import (
    AUTO,
    NEVER,
    UNITS,
    UNTIL_STOPPED,
    Duration,
    epochs,
    minutes,
    parse,
    percent,
    steps,
    to_steps,
)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500 steps", steps(500)),
        ("1 step", steps(1)),
        ("500steps", steps(500)),
        ("  2   Epochs ", epochs(2)),
        ("0.5 epochs", epochs(0.5)),
        (".5 epochs", epochs(0.5)),
        ("10 %", percent(10)),
        ("10%", percent(10)),
        ("12.5 percent", percent(12.5)),
        ("5 min", minutes(5)),
        ("2 h", minutes(120)),
        ("1e3 steps", steps(1000)),
        ("never", NEVER),
        ("off", NEVER),
        ("auto", AUTO),
        ("until stopped", UNTIL_STOPPED),
    ],
)
def test_texts_people_write(text: str, duration: Duration) -> None:
    assert parse(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "500", "steps", "-5 steps", "5 bananas", "nan steps", "inf epochs", "1e99 steps", "5 5 steps", "%"],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.floats(0, 1e12), st.sampled_from(UNITS))
def test_text_and_back(amount: float, unit: str) -> None:
    duration = Duration(amount, unit)
    assert parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (steps(7), 7),
        (epochs(2), 12),
        (epochs(0.25), 2),  # 1.5 steps, a half goes up
        (percent(50), 30),
        (percent(0), 0),
        (percent(100), 60),
        (minutes(5), None),
        (NEVER, None),
    ],
)
def test_steps_of_a_run_of_ten_epochs_of_six_steps(duration: Duration, expected: int | None) -> None:
    assert to_steps(duration, steps_per_epoch=6, total_steps=60) == expected


def test_a_share_of_an_endless_run_has_no_step() -> None:
    assert to_steps(percent(50), steps_per_epoch=6, total_steps=None) is None


def test_nothing_falls_due_at_zero() -> None:
    assert steps(0).is_never and NEVER.is_never and not AUTO.is_never and not steps(1).is_never
