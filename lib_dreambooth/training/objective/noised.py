"""What passes between noising, the model and the loss.

B: pictures, C: channels, H, W: latent size.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Noised:
    """A batch with its noise: `noisy` and `target` [B, C, H, W], `timesteps` [B].

    `weights` [B] are factors on each picture's loss, `masks` [B, 1, H, W] say where it counts, `huber_c` [B]
    is set where the kind of loss needs it. `base` [B, C, H, W] is what the untouched model answers, zero in
    rows where nobody asked it; those with `is_prior` [B] learn it in place of the target.
    """

    noisy: Tensor
    target: Tensor
    timesteps: Tensor
    weights: Tensor
    masks: Tensor | None = None
    huber_c: Tensor | None = None
    base: Tensor | None = None
    is_prior: Tensor | None = None

    @property
    def learned(self) -> Tensor:
        """What the prediction is compared with."""
        if self.base is None or self.is_prior is None:
            return self.target
        return torch.where(self.is_prior[:, None, None, None], self.base.to(self.target), self.target)

    def to(self, device: torch.device | str) -> Noised:
        """The same on a device; the copy does not wait where the memory allows it."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = None if value is None else value.to(device, non_blocking=True)
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class Losses:
    """`total` carries the gradient; `per_picture` [B] is weighed by noise level, not by share."""

    total: Tensor
    per_picture: Tensor
