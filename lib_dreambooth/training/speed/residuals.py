"""A UNet's frozen residual blocks, each one expression with its gradient.

PyTorch keeps what goes into every norm, activation and convolution, under mixed precision in float32 too.
Here a block keeps its input and what its first convolution gave, and norms these again on the way back.

B: pictures, C: channels, H, W: size of a layer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lib_dreambooth.base.forwards import forwards_taken, is_taken
from lib_dreambooth.models.lean import Activated
from lib_dreambooth.models.loaded import HALVES
from lib_dreambooth.models.unet_layers import ResnetBlock2D
from lib_dreambooth.training.speed.blocks import is_computed, is_watched, native, norm_of
from lib_dreambooth.training.speed.expressions import ATEN, GroupNorm

OF_INPUT_ALONE = (True, False, False)
EDGE_OF_3, EDGE_OF_1 = 1, 0


class Convolution(NamedTuple):
    """A convolution's own; it keeps the size of a layer."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    edge: int

    def of(self, x: Tensor) -> Tensor:
        """What it makes of a map."""
        return F.conv2d(x, self.weight, self.bias, padding=self.edge)

    def back(self, gradient: Tensor, like: Tensor) -> Tensor:
        """The gradient of the map that went in, of which only the kind counts."""
        edges, ones, none = [self.edge] * 2, [1, 1], [0, 0]
        found = ATEN.convolution_backward.default(
            gradient, like, self.weight, None, ones, edges, ones, False, none, 1, OF_INPUT_ALONE
        )
        of_x: Tensor = found[0]
        return of_x


class Half(NamedTuple):
    """A norm, an activation and a convolution."""

    norm: GroupNorm
    convolution: Convolution

    def of(self, x: Tensor) -> Tensor:
        """What they make of a map."""
        return self.convolution.of(F.silu(self.norm.of(x)[0]))

    def back(self, gradient: Tensor, x: Tensor) -> Tensor:
        """The gradient of the map that went in."""
        normed, mean, spread = self.norm.of(x)
        of_normed = ATEN.silu_backward.default(self.convolution.back(gradient, normed), normed)
        return self.norm.back(of_normed.contiguous(), x, mean, spread)


class Weights(NamedTuple):
    """A block's own but for the layer of the noise level."""

    first: Half
    second: Half
    shortcut: Convolution | None


class Residual(torch.autograd.Function):
    """What a block makes of a map x [B, C, H, W] and of the noise level's numbers [B, C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, level: Tensor, weights: Weights) -> Tensor:
        x = x.contiguous()
        inner = (weights.first.of(x) + level[:, :, None, None]).contiguous()
        ctx.save_for_backward(x, inner)
        ctx.weights = weights
        shortcut = x if weights.shortcut is None else weights.shortcut.of(x)
        return shortcut + weights.second.of(inner)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, given: Tensor) -> Any:
        x, inner = ctx.saved_tensors
        weights: Weights = ctx.weights
        of_inner = weights.second.back(given, inner)
        of_level = of_inner.sum((2, 3)) if ctx.needs_input_grad[1] else None
        of_x = None
        if ctx.needs_input_grad[0]:
            of_shortcut = given if weights.shortcut is None else weights.shortcut.back(given, x)
            of_x = of_shortcut + weights.first.back(of_inner, x)
        return of_x, of_level, None


class Block:
    """A residual block whose layers are plain."""

    def __init__(self, module: Any, shared: Activated) -> None:
        self.module = module
        self.shared = shared
        shortcut = module.conv_shortcut
        self.weights = Weights(
            Half(norm_of(module.norm1), convolution_of(module.conv1, EDGE_OF_3)),
            Half(norm_of(module.norm2), convolution_of(module.conv2, EDGE_OF_3)),
            None if shortcut is None else convolution_of(shortcut, EDGE_OF_1),
        )

    def fits(self, x: Tensor) -> bool:
        """Whether an input is as the expression wants it, and so much is kept otherwise that it is worth it.

        In float32 to norm a second time takes about as long as is saved, and little is kept twice.
        """
        weight = self.weights.first.convolution.weight
        return weight.dtype in HALVES and is_computed(x, weight, self.weights.first.norm.weight)

    def output(self, x: Tensor, level: Tensor) -> Tensor:
        """What the block gives."""
        # The layer of the noise level may have a network beside it, and goes its usual way.
        level = self.module.time_emb_proj(self.shared.of(level))
        dtype = self.weights.first.convolution.weight.dtype
        with native(x):
            found: Tensor = Residual.apply(x.to(dtype), level.to(dtype), self.weights)
        return found


@contextmanager
def residuals(unet: nn.Module) -> Iterator[int]:
    """While inside, passes with gradients take the short way; gives through how many blocks."""
    shared = Activated()
    num_blocks = 0
    with forwards_taken() as take:
        for module in unet.modules():
            if isinstance(module, ResnetBlock2D) and is_plain(module):
                take(module, functools.partial(either, Block(module, shared), module.forward))
                num_blocks += 1
        yield num_blocks


def either(short: Block, plain: Any, x: Tensor, level: Tensor) -> Tensor:
    """The short way where gradients are wanted."""
    is_short = torch.is_grad_enabled() and short.fits(x)
    found: Tensor = short.output(x, level) if is_short else plain(x, level)
    return found


def is_plain(module: ResnetBlock2D) -> bool:
    """Whether a block takes the noise level, and nothing hangs on what the expression computes."""
    layers = [module.norm1, module.conv1, module.norm2, module.conv2]
    if module.conv_shortcut is not None:
        layers.append(module.conv_shortcut)
    return module.time_emb_proj is not None and not any(is_watched(one) or is_taken(one) for one in layers)


def convolution_of(layer: Any, edge: int) -> Convolution:
    return Convolution(layer.weight, layer.bias, edge)
