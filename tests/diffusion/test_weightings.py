"""Factors by noise level: the papers' formulas, kohya's numbers, and no division by zero."""

from __future__ import annotations

import pytest
import torch

from lib_dreambooth.diffusion.conversions import (
    add_noise,
    clean_from_noise,
    clean_from_velocity,
    noise_from_velocity,
)
from lib_dreambooth.diffusion.schedule import snr, stable_diffusion_schedule
from lib_dreambooth.diffusion.targets import PREDICTIONS, target_of
from lib_dreambooth.diffusion.weightings import debiased, min_snr, scaled_like_noise, velocity_like

RATIOS = snr(stable_diffusion_schedule().alphas_bar)
TERMINAL = snr(stable_diffusion_schedule(is_zero_terminal=True).alphas_bar)


def test_the_ratios_are_those_of_stable_diffusion() -> None:
    assert RATIOS[[0, 1, 999]].tolist() == pytest.approx([1175.47, 586.1, 0.00468], rel=2e-3)
    assert TERMINAL[-1] == 0.0


@pytest.mark.parametrize("gamma", [1.0, 5.0, 2000.0])
def test_min_snr_is_the_formula_of_the_paper(gamma: float) -> None:
    capped = torch.minimum(RATIOS, torch.tensor(gamma, dtype=torch.float64))
    assert torch.allclose(min_snr(RATIOS, gamma, "epsilon"), capped / RATIOS, rtol=1e-12)
    assert torch.allclose(min_snr(RATIOS, gamma, "v"), capped / (RATIOS + 1), rtol=1e-12)
    assert torch.allclose(min_snr(RATIOS, gamma, "sample"), capped, rtol=1e-12)


def test_min_snr_means_the_same_for_every_prediction() -> None:
    """The same wrong clean latent costs the same, whichever way the network says it."""
    generator = torch.Generator().manual_seed(1)
    clean, noise, wrong = torch.randn(3, 1000, 4, 1, 1, generator=generator, dtype=torch.float64)
    alphas_bar = stable_diffusion_schedule().alphas_bar
    noisy = add_noise(clean, noise, alphas_bar)
    as_noise = (noisy - alphas_bar.sqrt().view(-1, 1, 1, 1) * wrong) / (1 - alphas_bar).sqrt().view(
        -1, 1, 1, 1
    )
    answers = {
        "epsilon": as_noise,
        "v": target_of("v", wrong, as_noise, alphas_bar),
        "sample": wrong,
    }
    losses = {
        prediction: min_snr(RATIOS, 5.0, prediction)
        * (answer - target_of(prediction, clean, noise, alphas_bar)).square().mean((1, 2, 3))
        for prediction, answer in answers.items()
    }
    assert torch.allclose(losses["v"], losses["sample"], rtol=1e-9)
    assert torch.allclose(losses["epsilon"], losses["sample"], rtol=1e-9)


def test_debiased() -> None:
    assert torch.allclose(debiased(RATIOS[1:], "epsilon"), 1 / RATIOS[1:].sqrt(), rtol=1e-12)
    assert debiased(RATIOS, "epsilon")[0].item() == pytest.approx(1000**-0.5)
    assert torch.allclose(debiased(RATIOS, "v"), 1 / (RATIOS + 1), rtol=1e-12)
    assert torch.allclose(debiased(RATIOS, "sample"), RATIOS * debiased(RATIOS, "epsilon"), rtol=0.2)


def test_a_velocity_loss_scaled_like_noise_is_the_noise_loss() -> None:
    generator = torch.Generator().manual_seed(2)
    clean, noise, answer = torch.randn(3, 1000, 4, 1, 1, generator=generator, dtype=torch.float64)
    alphas_bar = stable_diffusion_schedule().alphas_bar
    noisy = add_noise(clean, noise, alphas_bar)
    of_velocity = (answer - target_of("v", clean, noise, alphas_bar)).square().mean((1, 2, 3))
    of_noise = (noise_from_velocity(noisy, answer, alphas_bar) - noise).square().mean((1, 2, 3))
    # Only the first ratio lies above the limit of 1000.
    assert torch.allclose((scaled_like_noise(RATIOS) * of_velocity)[1:], of_noise[1:], rtol=1e-9)
    assert scaled_like_noise(RATIOS)[0].item() == pytest.approx(1000 / 1001)


def test_what_is_added_like_velocity_is_the_velocity_loss() -> None:
    generator = torch.Generator().manual_seed(4)
    clean, noise, answer = torch.randn(3, 1000, 4, 1, 1, generator=generator, dtype=torch.float64)
    alphas_bar = stable_diffusion_schedule().alphas_bar
    noisy = add_noise(clean, noise, alphas_bar)
    wanted = target_of("v", clean, noise, alphas_bar)
    of_clean = clean_from_noise(noisy, answer, alphas_bar)
    meant = target_of("v", of_clean, answer, alphas_bar)
    assert torch.allclose(clean_from_velocity(noisy, meant, alphas_bar), of_clean)
    of_noise = (answer - noise).square().mean((1, 2, 3))
    added = (velocity_like(RATIOS, 0.5, "epsilon") - 1) * of_noise
    assert torch.allclose(added[1:], 0.5 * (meant - wanted).square().mean((1, 2, 3))[1:], rtol=1e-8)
    assert set(velocity_like(RATIOS, 0.5, "v").tolist()) == {1.0}


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_pure_noise_never_divides_by_zero(prediction: str) -> None:
    factors = {
        "min_snr": min_snr(TERMINAL, 5.0, prediction),
        "debiased": debiased(TERMINAL, prediction),
        "scaled": scaled_like_noise(TERMINAL),
        "velocity_like": velocity_like(TERMINAL, 1.0, prediction),
    }
    for name, found in factors.items():
        assert torch.isfinite(found).all(), name
        assert (found >= 0).all() and (found <= 1002).all(), name
    assert factors["min_snr"][-1] == (1.0 if prediction == "epsilon" else 0.0)
