"""Which noise levels are drawn."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.diffusion.timesteps import DISTRIBUTIONS, draw_timestep, logistic

pytestmark = pytest.mark.once

COUNT = 20000


def drawn(distribution: str, *, spread: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    """Many timesteps from 0 to 1000 as places from 0 to 1."""
    draw = Draw(7, "timesteps", distribution)
    return (
        torch.tensor(
            [draw_timestep(distribution, 0, 1000, draw, spread=spread, shift=shift) for _ in range(COUNT)]
        )
        .double()
        .add(0.5)
        / 1000
    )


@given(
    st.sampled_from(DISTRIBUTIONS),
    st.integers(0, 999),
    st.integers(1, 1000),
    st.floats(0.01, 100),
    st.floats(-10, 10),
    st.integers(0, 2**63 - 1),
)
@settings(deadline=None)
def test_timesteps_stay_in_their_range(
    distribution: str, first: int, length: int, spread: float, shift: float, seed: int
) -> None:
    last = min(1000, first + length)
    found = draw_timestep(distribution, first, last, Draw(seed, "t"), spread=spread, shift=shift)
    assert first <= found < last


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_whole_of_a_small_range_is_drawn(distribution: str) -> None:
    draw = Draw(1, "t")
    counts = Counter(draw_timestep(distribution, 10, 13, draw) for _ in range(500))
    assert sorted(counts) == [10, 11, 12]


def test_uniform_is_even() -> None:
    places = drawn("uniform")
    assert places.mean().item() == pytest.approx(0.5, abs=0.01)
    assert places.var().item() == pytest.approx(1 / 12, rel=0.03)


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_early_and_late_rise_as_a_power(spread: float) -> None:
    early, late = drawn("early", spread=spread), drawn("late", spread=spread)
    # A density of (s + 1) u^s has its mean at (s + 1) / (s + 2), and below a half lies 0.5^(s + 1) of it.
    assert early.mean().item() == pytest.approx((spread + 1) / (spread + 2), abs=0.01)
    assert (early < 0.5).double().mean().item() == pytest.approx(0.5 ** (spread + 1), abs=0.01)
    assert late.mean().item() == pytest.approx(1 - (spread + 1) / (spread + 2), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "shift"), [(1.0, 0.0), (0.5, 1.0), (2.0, -1.0)])
def test_logit_normal_is_a_normal_number_behind_the_logistic_function(spread: float, shift: float) -> None:
    places = drawn("logit_normal", spread=spread, shift=shift)
    logits = (places / (1 - places)).log()
    assert logits.median().item() == pytest.approx(shift, abs=0.05)
    inside = ((logits - shift).abs() < spread).double().mean().item()
    assert inside == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.02)


@given(st.floats(-1000, 1000))
def test_the_logistic_function_never_overflows(x: float) -> None:
    assert 0 <= logistic(x) <= 1
    assert logistic(x) + logistic(-x) == pytest.approx(1)
