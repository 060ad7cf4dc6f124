"""Noise of several grains and shifts."""

from __future__ import annotations

import pytest
import torch

from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.diffusion.noises import (
    at_unit_deviation,
    offset_strengths,
    perturbed,
    with_offset,
    with_pyramid,
)

NOISE = Draw(1, "test").normal_tensor((4, 32, 48)).double()


def test_offset_shifts_each_channel_as_a_whole() -> None:
    found = with_offset(NOISE, torch.full((4,), 0.1, dtype=torch.float64), Draw(2, "offset")) - NOISE
    expected = 0.1 * Draw(2, "offset").normal_tensor((4,)).double()
    assert torch.allclose(found, expected[:, None, None].expand_as(found))


def test_offset_has_the_deviation_of_its_strength() -> None:
    strengths = torch.full((20000,), 0.05)
    shifts = with_offset(torch.zeros(20000, 1, 1), strengths, Draw(3, "offset"))
    assert shifts.std().item() == pytest.approx(0.05, rel=0.02)
    assert shifts.mean().item() == pytest.approx(0.0, abs=0.001)


def test_adaptive_offset_adds_the_size_of_each_channels_mean() -> None:
    latent = torch.stack([torch.full((4, 4), value) for value in (0.5, -0.5, 0.0, 2.0)])
    assert offset_strengths(latent, 0.1, 0.2).tolist() == pytest.approx([0.2, 0.2, 0.1, 0.5])
    assert offset_strengths(latent, 0.1, -0.2).tolist() == pytest.approx([0.0, 0.0, 0.1, 0.0])
    assert offset_strengths(latent, 0.1, 0.0).tolist() == pytest.approx([0.1] * 4)


def test_pyramid_is_what_the_formula_says() -> None:
    draw = Draw(5, "pyramid")
    expected = NOISE.clone()
    for level in range(3):
        ratio = (2 + 2 * draw.uniform()) ** level
        size = (int(32 / ratio), int(48 / ratio))
        coarse = torch.from_numpy(draw.normal((4, *size))).double()
        upsample = torch.nn.Upsample(size=(32, 48), mode="bilinear")
        expected = expected + upsample(coarse[None])[0] * 0.5**level
    assert torch.allclose(with_pyramid(NOISE, 3, 0.5, Draw(5, "pyramid")), expected)


def test_pyramid_ends_where_a_grain_is_as_large_as_the_picture() -> None:
    ends = with_pyramid(NOISE, 6, 0.9, Draw(6, "pyramid"))
    assert torch.equal(ends, with_pyramid(NOISE, 64, 0.9, Draw(6, "pyramid")))
    assert not torch.equal(ends, with_pyramid(NOISE, 2, 0.9, Draw(6, "pyramid")))


def test_pyramid_makes_neighbours_alike() -> None:
    found = at_unit_deviation(with_pyramid(NOISE, 6, 0.8, Draw(7, "pyramid")))
    assert found.std().item() == pytest.approx(1.0)
    assert (found[:, :, 1:] * found[:, :, :-1]).mean() > 0.2 > (NOISE[:, :, 1:] * NOISE[:, :, :-1]).mean()


def test_perturbation_adds_variance() -> None:
    found = perturbed(NOISE, 0.3, Draw(8, "perturbation"))
    assert torch.allclose(
        found - NOISE, 0.3 * Draw(8, "perturbation").normal_tensor((4, 32, 48)).double(), atol=1e-12
    )
    assert found.var().item() == pytest.approx(1 + 0.09, rel=0.05)
    assert torch.equal(perturbed(NOISE, 0.0, Draw(8, "perturbation")), NOISE)
