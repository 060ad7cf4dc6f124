"""The norm of gradients, and what shortens them to a length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# As torch's: a norm of 0 divides nothing by 0.
ROOM = 1e-6


def norm_of(gradients: Sequence[Tensor]) -> Tensor:
    """The length of all gradients taken as one vector, float32 or float64, on their device."""
    if not gradients:
        return torch.zeros(())
    if all(gradient.dtype == torch.float32 for gradient in gradients):
        norms: Sequence[Tensor] = torch._foreach_norm(list(gradients))
    else:
        # float16 would overflow at 65504.
        norms = [torch.linalg.vector_norm(gradient, dtype=widest(gradient)) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(list(norms)))


def widest(gradient: Tensor) -> torch.dtype:
    """What the squares of a gradient are added up in."""
    return torch.float64 if gradient.dtype == torch.float64 else torch.float32


def clip_factor(norm: Tensor, max_norm: float, loss_scale: float = 1.0) -> Tensor | None:
    """What gradients are multiplied by to be no longer than `max_norm` (0: any length), without the scale."""
    if max_norm > 0:
        return (max_norm / (norm + ROOM)).clamp(max=1.0) / loss_scale
    return None if loss_scale == 1.0 else torch.full_like(norm, 1.0 / loss_scale)
