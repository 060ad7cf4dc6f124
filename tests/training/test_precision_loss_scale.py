from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib_dreambooth.training.precision.loss_scale import GROWTH_STEPS, LARGEST, SMALLEST, START, LossScale


def test_it_begins_large_and_doubles_after_a_long_time_without_overflow() -> None:
    scale = LossScale()
    for _ in range(GROWTH_STEPS - 1):
        scale.update(True)
    assert scale.value == START == 65536
    scale.update(True)
    assert (scale.value, scale.good_steps) == (2 * START, 0)


def test_an_overflow_halves_it_and_starts_the_count_again() -> None:
    scale = LossScale(growth_steps=3)
    for is_finite in (True, True, False, True, True):
        scale.update(is_finite)
    assert scale.value == START / 2
    scale.update(True)
    assert scale.value == START


def test_it_grows_no_further_than_helps() -> None:
    scale = LossScale(LARGEST / 2, growth_steps=1)
    for _ in range(4):
        scale.update(True)
    assert scale.value == LARGEST


def test_when_no_scale_helps_it_says_so() -> None:
    scale = LossScale()
    taken = 0
    while not scale.is_exhausted:
        scale.update(False)
        taken += 1
    assert taken == 27 and scale.value < SMALLEST


@given(st.lists(st.booleans(), max_size=60), st.lists(st.booleans(), max_size=60))
def test_a_state_goes_on_as_if_it_had_never_stopped(before: list[bool], after: list[bool]) -> None:
    straight, first, second = LossScale(growth_steps=4), LossScale(growth_steps=4), LossScale(growth_steps=4)
    for is_finite in [*before, *after]:
        straight.update(is_finite)
    for is_finite in before:
        first.update(is_finite)
    second.load(json.loads(json.dumps(first.state())))
    for is_finite in after:
        second.update(is_finite)
    assert second == straight
    assert math.log2(second.value).is_integer()


def gradient_in_half(scale: float) -> float:
    """The gradient of a tiny loss through float16, the scale taken out again."""
    weight = nn.Parameter(torch.ones(1))
    loss = (weight.half() * 2.0**-14).float() * 2.0**-12
    (loss.sum() * scale).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    return weight.grad.item() / scale


def test_small_gradients_vanish_in_float16_without_it() -> None:
    assert gradient_in_half(1.0) == 0.0
    assert gradient_in_half(START) == pytest.approx(2.0**-26)
