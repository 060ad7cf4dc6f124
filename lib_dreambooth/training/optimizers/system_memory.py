"""System memory that a card reads and writes by itself."""

from __future__ import annotations

import torch
from torch import Tensor

# Bytes of the first piece and of the largest; each is twice the one before.
FIRST_PIECE, LARGEST_PIECE = 1 << 22, 1 << 28
# Where a tensor may begin.
GRAIN = 512


class SystemMemory:
    """Memory for tensors that leave a device. For CUDA it is pinned, where it can be given back later.

    It is cut from large pieces: PyTorch rounds each that it pins up to a power of two. A piece is free again
    when nothing that was cut from it is in use.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_pinned = device.type == "cuda" and can_unpin()
        self._piece = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def like(self, tensor: Tensor) -> Tensor:
        """Room for a tensor's numbers in their order."""
        if not self._is_pinned:
            return torch.empty_like(tensor, device="cpu")
        form = torch.empty_like(tensor, device="meta")
        num_bytes = form.numel() * form.element_size()
        cut = self._cut(num_bytes).view(form.dtype)
        return cut.as_strided(form.shape, form.stride())

    def _cut(self, num_bytes: int) -> Tensor:
        begin = -(-self._used // GRAIN) * GRAIN
        if begin + num_bytes > len(self._piece):
            size = min(max(FIRST_PIECE, 2 * len(self._piece)), LARGEST_PIECE)
            self._piece, begin = pinned(max(size, num_bytes)), 0
        self._used = begin + num_bytes
        return self._piece[begin : self._used]


def pinned(num_bytes: int) -> Tensor:
    """So many bytes that stay where they are; ordinary ones where the system has no more of these."""
    try:
        return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)
    except RuntimeError:
        return torch.empty(num_bytes, dtype=torch.uint8)


def can_unpin() -> bool:
    """Whether PyTorch gives pinned memory back to the system before its process ends: since 2.5."""
    return hasattr(torch._C, "_host_emptyCache")


def unpin_unused() -> None:
    """Gives pinned memory that nobody uses back to the system."""
    if can_unpin():
        torch._C._host_emptyCache()
