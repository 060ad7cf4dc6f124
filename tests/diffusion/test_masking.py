"""Means of pictures under masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.diffusion.masking import picture_means

ERRORS = torch.arange(2 * 3 * 4 * 4, dtype=torch.float64).reshape(2, 3, 4, 4)


def half() -> torch.Tensor:
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    mask[:, :, :, :2] = 1
    return mask


def test_without_a_mask_and_with_a_full_one_it_is_the_mean() -> None:
    full = torch.ones(2, 1, 4, 4)
    for over_picture in (False, True):
        assert torch.equal(picture_means(ERRORS), picture_means(ERRORS, full, over_picture=over_picture))
    assert picture_means(ERRORS).tolist() == [ERRORS[0].mean(), ERRORS[1].mean()]


def test_only_what_the_mask_counts_counts() -> None:
    inside = ERRORS[:, :, :, :2].mean((1, 2, 3))
    assert torch.allclose(picture_means(ERRORS, half()), inside)
    assert torch.allclose(picture_means(ERRORS, half(), over_picture=True), inside / 2)


def test_half_transparent_masks_weigh() -> None:
    mask = half() * 0.5
    assert torch.allclose(picture_means(ERRORS, mask), picture_means(ERRORS, half()))
    mask = half() * 0.75 + 0.25
    left, right = ERRORS[:, :, :, :2].mean((1, 2, 3)), ERRORS[:, :, :, 2:].mean((1, 2, 3))
    assert torch.allclose(picture_means(ERRORS, mask), (left + 0.25 * right) / 1.25)


def test_outside_counts_as_much_as_asked() -> None:
    left, right = ERRORS[:, :, :, :2].mean((1, 2, 3)), ERRORS[:, :, :, 2:].mean((1, 2, 3))
    assert torch.allclose(picture_means(ERRORS, half(), outside=0.1), (left + 0.1 * right) / 1.1)
    found = picture_means(ERRORS, half(), outside=0.1, over_picture=True)
    assert torch.allclose(found, (left + 0.1 * right) / 2)
    assert torch.allclose(picture_means(ERRORS, half(), outside=1.0), ERRORS.mean((1, 2, 3)))


@pytest.mark.parametrize("over_picture", [False, True])
def test_a_mask_that_is_zero_everywhere_gives_zero_and_no_gradient_of_nan(over_picture: bool) -> None:
    mask = half()
    mask[0] = 0
    errors = ERRORS.clone().requires_grad_()
    means = picture_means(errors, mask, over_picture=over_picture)
    means.sum().backward()
    assert means[0] == 0
    assert means[1] > 0
    assert errors.grad is not None
    assert errors.grad[0].eq(0).all()
    assert torch.isfinite(errors.grad).all()


@given(st.floats(0, 1), st.booleans())
@settings(deadline=None)
def test_a_black_mask_counts_as_the_outside_does(outside: float, over_picture: bool) -> None:
    found = picture_means(ERRORS, torch.zeros(2, 1, 4, 4), outside=outside, over_picture=over_picture)
    assert torch.allclose(found, outside * ERRORS.mean((1, 2, 3)))


def test_masks_of_single_precision_serve_errors_of_double() -> None:
    assert torch.allclose(picture_means(ERRORS, half().float()), picture_means(ERRORS, half()))
