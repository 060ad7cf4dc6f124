"""The low-rank weights beside one linear layer or convolution.

I: inputs, O: outputs, r: rank, k: kernel. The layer gives W x + strength * (alpha / r) * up(down(x)).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.lora import AdapterModule, lora_shapes


class LowRank(nn.Module):
    """`down` [r, I] or [r, I, k, k] and `up` [O, r] or [O, r, 1, 1]; `mid` [r, r, k, k] in Tucker's form.

    It computes in the precision of what comes in, whatever its own is.
    """

    def __init__(self, down: Tensor, up: Tensor, alpha: float, mid: Tensor | None = None) -> None:
        super().__init__()
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)
        self.mid = nn.Parameter(mid) if mid is not None else None
        self.alpha = alpha

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def forward(self, x: Tensor, layer: nn.Module) -> Tensor:
        """What is added to the layer's output, at strength 1."""
        hidden = self._lowered(x, layer)
        up = self.up.to(x.dtype)
        raised = F.linear(hidden, up) if up.dim() == 2 else F.conv2d(hidden, up)
        return raised * self.scale

    def _lowered(self, x: Tensor, layer: nn.Module) -> Tensor:
        down = self.down.to(x.dtype)
        if not isinstance(layer, nn.Conv2d):
            return F.linear(x, down)
        geometry: Any = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        if self.mid is None:
            return F.conv2d(x, down, **geometry)
        return F.conv2d(F.conv2d(x, down), self.mid.to(x.dtype), **geometry)

    @torch.no_grad()
    def weight(self) -> Tensor:
        """The change of the layer's weight that this stands for, float32."""
        up, down = self.up.float().flatten(1), self.down.float()
        if self.mid is not None:
            lowered = torch.einsum("rskl,si->rikl", self.mid.float(), down.flatten(1))
            return torch.einsum("or,rikl->oikl", up, lowered) * self.scale
        return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:]) * self.scale

    def to_file(self) -> AdapterModule:
        """The parts as files have them."""
        parts = {"lora_down": self.down.detach(), "lora_up": self.up.detach()}
        if self.mid is not None:
            parts["lora_mid"] = self.mid.detach()
        return AdapterModule(parts, self.alpha)


def fresh(shape: Shape, rank: int, alpha: float, draw: Draw) -> LowRank:
    """New weights that change nothing yet: `up` is zero, `down` even between +-1 / sqrt(fan in)."""
    shapes = lora_shapes(shape, rank)
    bound = 1.0 / math.sqrt(math.prod(shape[1:]))
    count = math.prod(shapes["lora_down"])
    down = torch.from_numpy((2.0 * draw.uniforms(count) - 1.0) * bound).float()
    return LowRank(down.reshape(shapes["lora_down"]), torch.zeros(shapes["lora_up"]), alpha)


def from_file(module: AdapterModule, shape: Shape) -> LowRank | None:
    """A file's parts for a layer whose weight has this shape; None where they do not fit it.

    Files have 1x1 convolutions as matrices and linear layers as convolutions; both are meant.
    """
    down, up, mid = (module.parts.get(part) for part in ("lora_down", "lora_up", "lora_mid"))
    if down is None or up is None or down.shape[0] != up.shape[1]:
        return None
    rank = down.shape[0]
    wanted = lora_shapes(shape, rank)
    if mid is not None:
        wanted["lora_down"] = (rank, shape[1], *(1 for _ in shape[2:]))
    down, up = _reshaped(down, wanted["lora_down"]), _reshaped(up, wanted["lora_up"])
    if down is None or up is None or (mid is not None and mid.shape != (rank, rank, *shape[2:])):
        return None
    return LowRank(down, up, module.scale * rank, mid)


def _reshaped(tensor: Tensor, shape: Shape) -> Tensor | None:
    """The tensor in a shape that differs in sizes of 1 at the end only."""
    longer, shorter = sorted((tuple(tensor.shape), shape), key=len, reverse=True)
    is_same = longer[: len(shorter)] == shorter and all(size == 1 for size in longer[len(shorter) :])
    return tensor.reshape(shape) if is_same else None
