"""Rounding of float32 to half precision by chance: right on average, where rounding to the nearest loses.

A number between two halves goes to either, the nearer one more often, so that the mean of many roundings is
the number itself. Numbers that a half holds exactly stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Digits that float32 has beyond bfloat16 and float16.
EXTRA_BITS = {torch.bfloat16: 16, torch.float16: 13}
# Below this float16 has steps of one size, 2 ** -24.
SMALLEST_NORMAL = 2.0**-14
STEPS_BELOW = 2.0**24


def round_to(values: Tensor, dtype: torch.dtype, generator: torch.Generator | None = None) -> Tensor:
    """`values` (float32) in `dtype`, rounded by chance; the same for the same state of the generator."""
    assert values.dtype == torch.float32
    bits = EXTRA_BITS[dtype]
    chance = torch.randint(
        0, 1 << bits, values.shape, dtype=torch.int32, device=values.device, generator=generator
    )
    below = None
    if dtype == torch.float16:
        below = torch.floor(values * STEPS_BELOW + chance / (1 << bits)) / STEPS_BELOW
    # In place of the draws: weights are as large as they are, and this is done to each after it was moved.
    rounded = (
        chance.add_(values.contiguous().view(torch.int32)).bitwise_and_(-(1 << bits)).view(torch.float32)
    )
    if below is not None:
        torch.where(values.abs() < SMALLEST_NORMAL, below, rounded, out=rounded)
    largest = torch.finfo(dtype).max
    torch.where(values.isfinite(), rounded.clamp_(-largest, largest), values, out=rounded)
    return rounded.to(dtype)
