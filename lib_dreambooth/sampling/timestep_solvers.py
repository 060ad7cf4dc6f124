"""Samplers that count in timesteps: DDIM and UniPC, with the WebUI's choice of timesteps.

x: latents [B, C, H, W] = sqrt(a) clean + sqrt(1 - a) noise; `alphas_bar` [T]. `noise_at(x, timestep)` gives
the noise that the network expects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NoiseAt = Callable[[Tensor, float], Tensor]

UNIPC_ORDER = 3


def ddim_timesteps(num_steps: int, num_timesteps: int) -> list[int]:
    """Rising whole timesteps. Where the division leaves a rest there are more of them than steps."""
    stride = max(num_timesteps // num_steps, 1)
    return [min(timestep + 1, num_timesteps - 1) for timestep in range(0, num_timesteps, stride)]


def ddim(noise_at: NoiseAt, x: Tensor, alphas_bar: Tensor, timesteps: Sequence[int]) -> Tensor:
    """Deterministic DDIM (Song et al. 2021). As in the WebUI it ends at the first timestep."""
    for index in range(len(timesteps) - 1, 0, -1):
        here, there = alphas_bar[timesteps[index]].item(), alphas_bar[timesteps[index - 1]].item()
        noise = noise_at(x, float(timesteps[index]))
        clean = (x - math.sqrt(1 - here) * noise) / math.sqrt(here)
        x = math.sqrt(there) * clean + math.sqrt(1 - there) * noise
    return x


@dataclass(frozen=True)
class _Point:
    """A time in (0, 1], and the signal and noise there."""

    time: float
    log_signal: float

    @property
    def signal(self) -> float:
        return math.exp(self.log_signal)

    @property
    def spread(self) -> float:
        return math.sqrt(-math.expm1(2 * self.log_signal))

    @property
    def half_log_snr(self) -> float:
        return self.log_signal - math.log(self.spread)


def unipc(noise_at: NoiseAt, x: Tensor, alphas_bar: Tensor, num_steps: int) -> Tensor:
    """UniPC (Zhao et al. 2023) of order 3 with B1(h), predicting the clean latent, evenly spaced in time.

    Every network call serves both to correct the step that led there and to predict the next one.
    """
    num_timesteps = len(alphas_bar)
    points = unipc_points(alphas_bar, num_steps)
    order = min(UNIPC_ORDER, num_steps)

    def clean_at(x: Tensor, point: _Point) -> Tensor:
        noise = noise_at(x, (point.time - 1 / num_timesteps) * num_timesteps)
        return (x - point.spread * noise) / point.signal

    cleans = [clean_at(x, points[0])]
    for step in range(1, num_steps + 1):
        step_order = min(order, step, num_steps + 1 - step)
        past = points[max(step - step_order, 0) : step]
        known = cleans[-len(past) :]
        predicted = _unipc_update(x, past, known, points[step], None)
        if step == num_steps:
            return predicted
        clean = clean_at(predicted, points[step])
        x = _unipc_update(x, past, known, points[step], clean)
        cleans = [*cleans, clean][-order:]
    return x


def unipc_points(alphas_bar: Tensor, num_steps: int) -> list[_Point]:
    """Times [S + 1] from 1 to 1 / T; logarithms of the signal are linear between whole timesteps."""
    log_signals = 0.5 * alphas_bar.double().cpu().log()
    last = len(alphas_bar) - 1
    points = []
    for timestep in torch.linspace(last, 0, num_steps + 1, dtype=torch.float64).tolist():
        low = min(int(timestep), last - 1)
        share = timestep - low
        log_signal = (1 - share) * log_signals[low] + share * log_signals[low + 1]
        points.append(_Point((timestep + 1) / len(alphas_bar), log_signal.item()))
    return points


def _unipc_update(
    x: Tensor, past: Sequence[_Point], cleans: Sequence[Tensor], target: _Point, clean: Tensor | None
) -> Tensor:
    """The latents at `target`: predicted, or corrected with the clean latents expected there."""
    here, newest = past[-1], cleans[-1]
    width = target.half_log_snr - here.half_log_snr
    ratios = [(point.half_log_snr - here.half_log_snr) / width for point in reversed(past[:-1])]
    slopes = [(old - newest) / ratio for old, ratio in zip(reversed(cleans[:-1]), ratios, strict=True)]
    if clean is not None:
        ratios, slopes = [*ratios, 1.0], [*slopes, clean - newest]
    result = (target.spread / here.spread) * x - target.signal * math.expm1(-width) * newest
    for weight, slope in zip(unipc_weights(ratios, width), slopes, strict=True):
        result = result + (target.signal * width * weight) * slope
    return result


def unipc_weights(ratios: Sequence[float], width: float) -> list[float]:
    """The combination of slopes that is exact up to their number's order; for a single one it is a half."""
    count = len(ratios)
    if count == 0:
        return []
    if count == 1:
        return [0.5]
    step = -width
    phi = math.expm1(step) / step - 1
    factorial = 1
    rows, sides = [], []
    for power in range(count):
        rows.append([ratio**power for ratio in ratios])
        sides.append(phi * factorial / step)
        factorial *= power + 2
        phi = phi / step - 1 / factorial
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.linalg.solve(matrix, torch.tensor(sides, dtype=torch.float64)).tolist()
