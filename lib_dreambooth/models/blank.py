"""Layers that a file fills: on `meta` they draw no first values, which is a third of building a model."""

from __future__ import annotations

import torch
from torch import nn


class Linear(nn.Linear):
    """PyTorch's own but for the first values."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class Conv2d(nn.Conv2d):
    """PyTorch's own but for the first values."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


def blank_embedding(count: int, width: int) -> nn.Embedding:
    """Rows without values: drawing them, if only on `meta`, brings PyTorch's compiler."""
    return nn.Embedding(count, width, _weight=torch.empty(count, width))
