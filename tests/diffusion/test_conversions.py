"""Latent, noise and velocity from each other."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.diffusion.conversions import (
    add_noise,
    clean_from_noise,
    clean_from_velocity,
    noise_from_clean,
    noise_from_velocity,
    velocity,
)
from lib_dreambooth.diffusion.schedule import stable_diffusion_schedule

SHAPE = (3, 4, 2, 5)


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


@given(st.lists(st.floats(1e-4, 1 - 1e-4), min_size=3, max_size=3))
@settings(deadline=None)
def test_every_way_there_and_back(shares: list[float]) -> None:
    alphas_bar = torch.tensor(shares, dtype=torch.float64)
    clean, noise = drawn()
    noisy, speed = add_noise(clean, noise, alphas_bar), velocity(clean, noise, alphas_bar)
    for found, wanted in (
        (clean_from_noise(noisy, noise, alphas_bar), clean),
        (clean_from_velocity(noisy, speed, alphas_bar), clean),
        (noise_from_velocity(noisy, speed, alphas_bar), noise),
        (noise_from_clean(noisy, clean, alphas_bar), noise),
    ):
        assert torch.allclose(found, wanted, atol=1e-9)


def test_equals_diffusers() -> None:
    clean, noise = (tensor.float() for tensor in drawn())
    timesteps = torch.tensor([0, 500, 999])
    theirs = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    rows = stable_diffusion_schedule().rows(timesteps)
    assert torch.allclose(add_noise(clean, noise, rows), theirs.add_noise(clean, noise, timesteps), atol=1e-5)
    assert torch.allclose(
        velocity(clean, noise, rows), theirs.get_velocity(clean, noise, timesteps), atol=1e-5
    )


def test_one_number_serves_the_whole_batch() -> None:
    clean, noise = drawn()
    share = torch.tensor(0.3, dtype=torch.float64)
    assert torch.equal(add_noise(clean, noise, share), add_noise(clean, noise, share.expand(3)))


def test_the_ends_are_pure() -> None:
    clean, noise = drawn()
    assert torch.equal(add_noise(clean, noise, torch.tensor(0.0)), noise)
    assert torch.equal(velocity(clean, noise, torch.tensor(0.0)), -clean)
    assert torch.equal(add_noise(clean, noise, torch.tensor(1.0)), clean)
