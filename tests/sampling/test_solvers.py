"""The samplers against diffusers' schedulers, given the same noise levels and a network of a few waves."""

from __future__ import annotations

import math
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from lib_dreambooth.diffusion.schedule import sigmas_of, stable_diffusion_schedule
from lib_dreambooth.sampling.sigmas import SigmaTable
from lib_dreambooth.sampling.solvers import ancestral_step, dpmpp_2m, euler, euler_ancestral
from lib_dreambooth.sampling.timestep_solvers import ddim, ddim_timesteps, unipc, unipc_points

STABLE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
ALPHAS_BAR = stable_diffusion_schedule().for_sampling()
TABLE = SigmaTable(ALPHAS_BAR)
NUM_STEPS = [1, 2, 3, 4, 7, 20]


def start() -> Tensor:
    return torch.randn((2, 4, 6, 5), generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def waves(x: Tensor, timestep: float) -> Tensor:
    """A stand-in for noise in latents of unit variance."""
    return torch.tanh(0.8 * x) + 0.3 * torch.sin(3 * x + 0.01 * timestep)


def denoise(x: Tensor, sigma: float) -> Tensor:
    return x - sigma * waves(x / math.sqrt(sigma**2 + 1), TABLE.timestep_of(sigma))


def by_diffusers(
    scheduler: Any, levels: list[float], x: Tensor, *, is_scaled: bool, **keywords: Any
) -> Tensor:
    """A scheduler led over our levels; `is_scaled` where its latents have unit variance."""
    num_steps = len(levels) - 1
    scheduler.set_timesteps(num_steps)
    scheduler.timesteps = torch.tensor(
        [TABLE.timestep_of(sigma) for sigma in levels[:-1]], dtype=torch.float64
    )
    scheduler.sigmas = torch.tensor(levels, dtype=torch.float64)
    for index, timestep in enumerate(scheduler.timesteps):
        scheduler._step_index = index
        scaled = x if is_scaled else x / math.sqrt(levels[index] ** 2 + 1)
        x = scheduler.step(waves(scaled, float(timestep)), timestep, x, **keywords).prev_sample
    return x


@pytest.mark.parametrize("num_steps", NUM_STEPS)
def test_euler(num_steps: int) -> None:
    levels = TABLE.uniform(num_steps)
    theirs = by_diffusers(
        diffusers.EulerDiscreteScheduler(**STABLE), levels, start() * levels[0], is_scaled=False
    )
    assert torch.allclose(euler(denoise, start() * levels[0], levels), theirs, atol=1e-5)


@pytest.mark.parametrize("num_steps", NUM_STEPS)
def test_euler_ancestral(num_steps: int) -> None:
    levels = TABLE.uniform(num_steps)
    generator = torch.Generator().manual_seed(9)
    ours = euler_ancestral(
        denoise,
        start() * levels[0],
        levels,
        lambda: torch.randn((2, 4, 6, 5), generator=generator, dtype=torch.float64),
        eta=1.0,
    )
    theirs = by_diffusers(
        diffusers.EulerAncestralDiscreteScheduler(**STABLE),
        levels,
        start() * levels[0],
        is_scaled=False,
        generator=torch.Generator().manual_seed(9),
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_ancestral_steps_keep_the_level() -> None:
    for sigma, lower in ((14.6, 8.0), (0.5, 0.03), (1.0, 0.999)):
        down, up = ancestral_step(sigma, lower, 1.0)
        assert math.hypot(down, up) == pytest.approx(lower)
        assert ancestral_step(sigma, lower, 0.0) == (lower, 0.0)
    assert ancestral_step(0.5, 0.0, 1.0) == (0.0, 0.0)


@pytest.mark.parametrize("num_steps", NUM_STEPS)
def test_dpmpp_2m(num_steps: int) -> None:
    levels = TABLE.karras(num_steps)
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **STABLE, algorithm_type="dpmsolver++", solver_type="midpoint", lower_order_final=False
    )
    ours = dpmpp_2m(denoise, start() * levels[0], levels)
    # diffusers counts its latents in unit variance; at the last level, 0, that is the same.
    scaled = start() * levels[0] / math.sqrt(levels[0] ** 2 + 1)
    assert torch.allclose(ours, by_diffusers(scheduler, levels, scaled, is_scaled=True), atol=1e-5)


@pytest.mark.parametrize("num_steps", [2, 4, 10, 20])
def test_ddim(num_steps: int) -> None:
    scheduler = diffusers.DDIMScheduler(
        **STABLE, steps_offset=1, set_alpha_to_one=False, clip_sample=False, timestep_spacing="leading"
    )
    scheduler.set_timesteps(num_steps)
    x = start()
    # The WebUI leaves out the last step, from timestep 1 to 0.
    for timestep in scheduler.timesteps[:-1]:
        x = scheduler.step(waves(x, float(timestep)), int(timestep), x).prev_sample
    ours = ddim(waves, start(), ALPHAS_BAR, ddim_timesteps(num_steps, 1000))
    assert torch.allclose(ours, x, atol=1e-5)


def test_ddim_timesteps_are_the_webui_s() -> None:
    assert ddim_timesteps(4, 1000) == [1, 251, 501, 751]
    # 1000 is no multiple of 30: there is one more.
    uneven = ddim_timesteps(30, 1000)
    assert (len(uneven), uneven[:2], uneven[-1]) == (31, [1, 34], 991)
    assert ddim_timesteps(1000, 1000)[-2:] == [999, 999]


@pytest.mark.parametrize("num_steps", [*NUM_STEPS, 5])
def test_unipc(num_steps: int) -> None:
    scheduler = diffusers.UniPCMultistepScheduler(
        **STABLE, solver_order=min(3, num_steps), solver_type="bh1", lower_order_final=True
    )
    levels = [point.spread / point.signal for point in unipc_points(ALPHAS_BAR, num_steps)]
    scheduler.set_timesteps(num_steps)
    timesteps = torch.linspace(999, 0, num_steps + 1, dtype=torch.float64)
    scheduler.timesteps, scheduler.sigmas = timesteps[:-1], torch.tensor(levels, dtype=torch.float64)
    x = start()
    for index, timestep in enumerate(scheduler.timesteps):
        scheduler._step_index = index
        x = scheduler.step(waves(x, float(timestep)), timestep, x).prev_sample
    assert torch.allclose(unipc(waves, start(), ALPHAS_BAR, num_steps), x, atol=1e-4)


def test_levels_pass_through_the_schedule_s_own() -> None:
    own = sigmas_of(ALPHAS_BAR.double())
    for timestep in (0, 1, 500, 998, 999):
        assert TABLE.sigma_at(timestep) == pytest.approx(own[timestep].item(), rel=1e-9)
        assert TABLE.timestep_of(own[timestep].item()) == pytest.approx(timestep, abs=1e-6)
    assert TABLE.timestep_of(TABLE.sigma_at(123.4)) == pytest.approx(123.4)
    assert TABLE.timestep_of(1e6) == 999 and TABLE.timestep_of(1e-6) == 0


def test_uniform_levels() -> None:
    levels = TABLE.uniform(20)
    assert levels[0] == pytest.approx(14.6146, rel=1e-5) and levels[-2] == pytest.approx(0.029167, rel=1e-4)
    assert levels[-1] == 0 and len(levels) == 21
    assert levels[1] == pytest.approx(TABLE.sigma_at(999 - 999 / 19))


def test_karras_levels_equal_diffusers() -> None:
    scheduler = diffusers.EulerDiscreteScheduler(**STABLE, use_karras_sigmas=True)
    scheduler.set_timesteps(20)
    assert torch.allclose(torch.tensor(TABLE.karras(20)), scheduler.sigmas, rtol=1e-4)
