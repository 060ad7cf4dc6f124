"""The noise schedule, against published values and diffusers' own."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from lib_dreambooth.diffusion.schedule import (
    TERMINAL_ALPHA_BAR,
    NoiseSchedule,
    alphas_bar_of,
    betas_of,
    scaled_linear_betas,
    sigmas_of,
    snr,
    stable_diffusion_schedule,
)

STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def test_published_values() -> None:
    schedule = stable_diffusion_schedule()
    ratios = schedule.snr(torch.tensor([0, 1, 999]))
    assert ratios.tolist() == pytest.approx([1175.47, 585.864, 0.00468192], rel=1e-5)
    # k-diffusion's ends for Stable Diffusion.
    ends = sigmas_of(schedule.alphas_bar)[[0, -1]]
    assert ends.tolist() == pytest.approx([0.0291672, 14.614641], rel=1e-5)


@pytest.mark.parametrize("is_zero_terminal", [False, True])
def test_equals_diffusers(is_zero_terminal: bool) -> None:
    theirs = DDPMScheduler(**STABLE, rescale_betas_zero_snr=is_zero_terminal).alphas_cumprod
    ours = stable_diffusion_schedule(is_zero_terminal=is_zero_terminal).alphas_bar
    assert ours.float().tolist() == pytest.approx(theirs.tolist(), rel=2e-5, abs=1e-9)


def test_zero_terminal_keeps_the_start_and_ends_in_pure_noise() -> None:
    plain, rescaled = stable_diffusion_schedule(), stable_diffusion_schedule().rescaled()
    assert rescaled.alphas_bar[0].item() == pytest.approx(plain.alphas_bar[0].item(), rel=1e-12)
    assert rescaled.alphas_bar[-1].item() == 0.0
    assert rescaled.snr(torch.tensor([999])).item() == 0.0
    assert rescaled.rescaled() is rescaled
    assert (rescaled.alphas_bar.diff() < 0).all()


def test_pictures_are_drawn_with_the_webui_s_end() -> None:
    drawn = stable_diffusion_schedule(is_zero_terminal=True).for_sampling()
    assert drawn[-1].item() == pytest.approx(TERMINAL_ALPHA_BAR, rel=1e-6)
    assert drawn.dtype == torch.float32
    plain = stable_diffusion_schedule()
    assert torch.equal(plain.for_sampling(), plain.alphas_bar.float())


def test_betas_and_their_product_are_inverse() -> None:
    betas = scaled_linear_betas()
    assert torch.allclose(betas_of(alphas_bar_of(betas)), betas, rtol=1e-12)
    assert betas[[0, -1]].tolist() == pytest.approx([0.00085, 0.012])


def test_rows_are_the_table_s() -> None:
    schedule = NoiseSchedule(torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64))
    assert schedule.rows(torch.tensor([2, 0])).tolist() == pytest.approx([0.1, 0.9])
    assert schedule.num_timesteps == 3
    assert snr(schedule.alphas_bar).tolist() == pytest.approx([9.0, 1.0, 1 / 9])
