from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lib_dreambooth.training.precision.rounding import round_to

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
COUNT = 40_000
pytestmark = pytest.mark.filterwarnings("ignore:.*overflow encountered:RuntimeWarning")


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def neighbours(value: float, dtype: torch.dtype) -> tuple[float, float]:
    """The numbers of a half on both sides of a float32, by its own rounding to the nearest."""
    nearest = torch.tensor(value, dtype=torch.float32).to(dtype)
    bits = nearest.view(torch.int16)
    around = sorted(
        {float((bits + step).view(dtype)) for step in (-1, 0, 1)}
        | {0.0, -float(torch.finfo(dtype).smallest_normal) * 2.0 ** -(7 if dtype == torch.bfloat16 else 10)}
    )
    below = max(number for number in around if number <= value)
    above = min(number for number in around if number >= value)
    return below, above


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("value", [1.0 + 1e-4, -1.0 - 1e-4, 0.1, 3.14159e-3, -7.5e-6, 1e-7, 4.2e-8, 1234.567])
def test_the_mean_of_many_roundings_is_the_number(name: str, value: float) -> None:
    dtype = HALVES[name]
    exact = torch.full((COUNT,), value)
    rounded = round_to(exact, dtype, generator()).double()
    below, above = neighbours(float(exact[0]), dtype)
    assert set(rounded.tolist()) <= {below, above}
    # Five standard errors of the mean of draws between two numbers.
    share = (float(exact[0]) - below) / (above - below) if above > below else 0.0
    error = (above - below) * (share * (1 - share) / COUNT) ** 0.5
    assert abs(rounded.mean().item() - float(exact[0])) <= 5 * error + 1e-15


@pytest.mark.parametrize("name", HALVES)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False), seed=st.integers(0, 9))
@settings(max_examples=150)
def test_either_neighbour_and_never_further(name: str, value: float, seed: int) -> None:
    dtype = HALVES[name]
    largest = torch.finfo(dtype).max
    rounded = float(round_to(torch.tensor([value]), dtype, generator(seed))[0])
    if abs(value) >= largest:
        assert rounded == np.sign(value) * largest
        return
    nearest = float(torch.tensor(value, dtype=torch.float32).to(dtype))
    unit = abs(float(torch.tensor(nearest).to(dtype)) - neighbours(value, dtype)[0])
    step = max(unit, abs(neighbours(value, dtype)[1] - neighbours(value, dtype)[0]))
    assert abs(rounded - value) <= step


@pytest.mark.parametrize("name", HALVES)
def test_numbers_that_a_half_holds_stay(name: str) -> None:
    dtype = HALVES[name]
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    held = every[every.isfinite()]
    assert torch.equal(round_to(held.float(), dtype, generator()), held)


@pytest.mark.parametrize("name", HALVES)
def test_what_is_no_number_stays_none(name: str) -> None:
    values = torch.tensor([float("nan"), float("inf"), -float("inf")])
    rounded = round_to(values, HALVES[name], generator())
    assert rounded[0].isnan() and rounded[1:].tolist() == [float("inf"), -float("inf")]


@pytest.mark.parametrize("name", HALVES)
def test_it_follows_the_generator(name: str) -> None:
    values = torch.rand(1000, generator=generator(1))
    first, second, other = (round_to(values, HALVES[name], generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def moved(dtype: torch.dtype, by_chance: bool, steps: int = 40, rate: float = 7.5e-6) -> float:
    """How far the mean of weights of 1 has moved after steps of a rate."""
    weights: Tensor = torch.ones(100_000, dtype=dtype)
    drawn = generator()
    for _ in range(steps):
        exact = weights.float() - rate
        weights = round_to(exact, dtype, drawn) if by_chance else exact.to(dtype)
    return 1.0 - weights.double().mean().item()


@pytest.mark.parametrize("name", HALVES)
def test_a_rate_of_7_5e_6_does_not_vanish(name: str) -> None:
    assert moved(HALVES[name], by_chance=False) == 0.0
    assert moved(HALVES[name], by_chance=True) == pytest.approx(40 * 7.5e-6, rel=0.1)
