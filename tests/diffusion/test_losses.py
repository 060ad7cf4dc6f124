"""Errors of elements, and the Huber parameter at each noise level."""

from __future__ import annotations

import math

import pytest
import torch

from lib_dreambooth.diffusion.losses import errors, huber_parameters
from lib_dreambooth.diffusion.schedule import stable_diffusion_schedule

PREDICTED = torch.tensor([0.0, 0.5, 3.0, -4.0], dtype=torch.float64).reshape(1, 1, 2, 2)
TARGET = torch.zeros_like(PREDICTED)
C = torch.tensor([0.1], dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("l2", [0.0, 0.25, 9.0, 16.0]),
        ("l1", [0.0, 0.5, 3.0, 4.0]),
        ("smooth_l1", [2 * (math.sqrt(d * d + 0.01) - 0.1) for d in (0.0, 0.5, 3.0, 4.0)]),
        ("huber", [0.2 * (math.sqrt(d * d + 0.01) - 0.1) for d in (0.0, 0.5, 3.0, 4.0)]),
    ],
)
def test_each_kind_is_its_formula(kind: str, expected: list[float]) -> None:
    found = errors(kind, PREDICTED, TARGET, C)
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_huber_is_square_where_small_and_straight_where_large() -> None:
    small, large = torch.full((1, 1, 1, 1), 1e-4), torch.full((1, 1, 1, 1), 1e4)
    zero, c = torch.zeros(1, 1, 1, 1, dtype=torch.float64), torch.tensor([1.0])
    assert errors("huber", small.double(), zero, c).item() == pytest.approx(1e-8, rel=1e-6)
    assert errors("huber", large.double(), zero, c).item() == pytest.approx(2e4, rel=1e-3)


def test_huber_takes_a_parameter_for_each_picture() -> None:
    predicted = torch.ones(2, 1, 1, 1, dtype=torch.float64)
    found = errors("huber", predicted, torch.zeros_like(predicted), torch.tensor([0.1, 1.0]))
    alone = [
        errors("huber", predicted[:1], torch.zeros(1, 1, 1, 1), torch.tensor([c])).item() for c in (0.1, 1.0)
    ]
    assert found.flatten().tolist() == pytest.approx(alone)
    assert alone[0] != alone[1]


def test_huber_parameter_follows_its_schedule() -> None:
    alphas_bar = stable_diffusion_schedule().alphas_bar
    assert set(huber_parameters("constant", 0.1, 3.0, alphas_bar).tolist()) == {0.1 * 3.0}
    exponential = huber_parameters("exponential", 0.1, 2.0, alphas_bar)
    assert exponential[0] == 2.0
    assert exponential[500].item() == pytest.approx(2.0 * 0.1**0.5)
    of_snr = huber_parameters("snr", 0.1, 2.0, alphas_bar)
    sigma = ((1 - alphas_bar[300]) / alphas_bar[300]).sqrt()
    assert of_snr[300].item() == pytest.approx((0.9 / (1 + sigma) ** 2 + 0.1).item())
    assert 0.9 < of_snr[0] < 1.0
    assert (of_snr.diff() < 0).all()
    assert (exponential.diff() < 0).all()


def test_huber_parameter_of_pure_noise_is_a_number() -> None:
    schedule = stable_diffusion_schedule(is_zero_terminal=True)
    assert huber_parameters("snr", 0.1, 1.0, schedule.alphas_bar)[-1].item() == pytest.approx(0.1)
