"""Plain low-rank networks in one expression with their layers, and layers of one input together.

A network beside a layer asks for some eight operators a step where the layer alone asks for two, and most
of them are over before the next one is asked for. Here the gradient is written out: nothing is scaled or
added up in an operator of its own, and queries, keys and values of one input are one product.

N: rows, that is tokens of all pictures; I: inputs; O: outputs; r: rank; n: layers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lib_dreambooth.adapters.low_rank import LowRank

CHANNELS_FIRST = 4
IS_AUTOCAST_BY_KIND = hasattr(torch, "get_autocast_dtype")
# What products on `meta` stand for: a forecast sets it.
ON_META: ContextVar[torch.dtype | None] = ContextVar("on_meta", default=None)
# What is multiplied by 0 where PyTorch has a scale only in sums.
_NOTHING: dict[tuple[torch.device, torch.dtype], Tensor] = {}


class Joint:
    """Layers that are given the same tensor one after the other, each with its network."""

    def __init__(self, layers: Sequence[nn.Module], networks: Sequence[LowRank]) -> None:
        # Linear layers and convolutions alike; nn.Module's own types know neither's weight.
        self.layers: list[Any] = list(layers)
        self.networks = list(networks)
        self._scale = self.networks[0].scale
        self._has_bias = self.layers[0].bias is not None
        self._asked: Tensor | None = None
        self._waiting: list[Tensor | None] = []

    def fits(self, x: Tensor) -> bool:
        """Whether an input is as the expressions want it."""
        weight = self.layers[0].weight
        is_map = weight.dim() == CHANNELS_FIRST
        if is_map and not x.is_contiguous():
            return False
        return weight.dtype == computed_in(x)

    def output(self, place: int, x: Tensor, strength: float) -> Tensor:
        """What one of the layers gives; the first that is asked computes for all."""
        if len(self.layers) == 1:
            return self._all(x, strength)[0]
        if self._asked is not x or self._waiting[place] is None:
            self._waiting = list(self._all(x, strength))
            self._asked = x
        found, self._waiting[place] = self._waiting[place], None
        assert found is not None
        if not any(one is not None for one in self._waiting):
            self._asked, self._waiting = None, []
        return found

    def _all(self, x: Tensor, strength: float) -> tuple[Tensor, ...]:
        weights = [part for network in self.networks for part in (network.down, network.up)]
        product = Convolved if isinstance(self.layers[0], nn.Conv2d) else Multiplied
        found: Any = product.apply(x.to(self.layers[0].weight.dtype), self._scale * strength, self, *weights)
        return found if isinstance(found, tuple) else (found,)

    def weight(self) -> Tensor:
        """The layers' weights one below the other [n O, I]."""
        return packed([layer.weight for layer in self.layers])

    def bias(self) -> Tensor | None:
        """[n O]"""
        return packed([layer.bias for layer in self.layers]) if self._has_bias else None

    def down(self) -> Tensor:
        """[n r, I]"""
        return packed([network.down for network in self.networks])

    def up(self) -> Tensor:
        """[n O, r]"""
        return packed([network.up for network in self.networks])


def packed(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Several tensors as one that they are parts of, so that nothing is copied in a step.

    Nobody else holds on to it: whoever moves the tensors to another place gives them memory of their own and
    this one back, and the next step packs them anew.
    """
    first = parameters[0].detach()
    if len(parameters) == 1:
        return first
    if not lie_together(parameters):
        pack = torch.cat([parameter.detach() for parameter in parameters])
        for parameter, part in zip(parameters, pack.chunk(len(parameters)), strict=True):
            parameter.data = part
        return pack
    shape = (len(parameters) * len(first), *first.shape[1:])
    return first.as_strided(shape, first.stride(), first.storage_offset())


def lie_together(parameters: Sequence[Tensor]) -> bool:
    """Whether tensors of one shape lie one behind the other in one piece of memory."""
    first = parameters[0]
    # Storages themselves and no addresses, which tensors on `meta` have none of.
    size, start, memory = first.numel(), first.storage_offset(), first.untyped_storage()._cdata
    return first.is_contiguous() and all(
        parameter.storage_offset() == start + place * size and parameter.untyped_storage()._cdata == memory
        for place, parameter in enumerate(parameters)
    )


def computed_in(x: Tensor) -> torch.dtype:
    """The numbers that a product with `x` is computed in here."""
    kind = x.device.type
    if kind == "meta":
        # PyTorch knows no mixed precision there: who takes steps there says what it stands in for.
        return ON_META.get() or x.dtype
    if not IS_AUTOCAST_BY_KIND:
        # PyTorch 2.1; mixed precision is for cards and CPUs alone there.
        if kind == "cuda":
            return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else x.dtype
        is_cast = kind == "cpu" and torch.is_autocast_cpu_enabled()
        return torch.get_autocast_cpu_dtype() if is_cast else x.dtype
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class Multiplied(torch.autograd.Function):
    """x [..., I] to n outputs [..., O]: W x + scale * up down x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float, joint: Joint, *weights: Tensor) -> Any:
        count = len(weights) // 2
        rows = x.reshape(-1, x.shape[-1])
        base, down, up = joint.weight(), joint.down().to(x.dtype), joint.up().to(x.dtype)
        bias = joint.bias()
        made = rows.mm(base.t()) if bias is None else torch.addmm(bias, rows, base.t())
        hidden = rows.mm(down.t())
        if count == 1:
            made.addmm_(hidden, up.t(), alpha=scale)
        else:
            each(made, count).baddbmm_(each(hidden, count), below(up, count).transpose(1, 2), alpha=scale)
        ctx.save_for_backward(rows, hidden, base, down, up)
        ctx.scale, ctx.count, ctx.shape, ctx.dtype = scale, count, x.shape, weights[0].dtype
        found = made.view(*x.shape[:-1], -1)
        return found if count == 1 else found.chunk(count, -1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rows, hidden, base, down, up = ctx.saved_tensors
        count, scale = ctx.count, ctx.scale
        together = gradients[0] if count == 1 else torch.cat(gradients, -1)
        together = together.reshape(-1, together.shape[-1])
        if count == 1:
            lowered = together.mm(up)
        else:
            lowered = each(together, count).bmm(below(up, count)).transpose(0, 1)
            lowered = lowered.contiguous().view(hidden.shape)
        learned: tuple[Tensor | None, ...] = (None,) * (2 * count)
        if ctx.needs_input_grad[3]:
            of_down = scaled(lowered.t(), rows, scale)
            if count == 1:
                of_up = scaled(together.t(), hidden, scale)
            else:
                stacked = scaled_each(each(together, count).transpose(1, 2), each(hidden, count), scale)
                of_up = stacked.view(-1, stacked.shape[-1])
            pairs = zip(of_down.to(ctx.dtype).chunk(count), of_up.to(ctx.dtype).chunk(count), strict=True)
            learned = tuple(gradient for pair in pairs for gradient in pair)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = together.mm(base).addmm_(lowered, down, alpha=scale).view(ctx.shape)
        return (of_x, None, None, *learned)


class Convolved(torch.autograd.Function):
    """The same for one 1x1 convolution: x [B, I, H, W] to [B, O, H, W]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float, joint: Joint, *weights: Tensor) -> Any:
        base = joint.weight()
        down, up = joint.down().to(x.dtype).flatten(1), joint.up().to(x.dtype).flatten(1)
        made = F.conv2d(x, base, joint.bias()).contiguous()
        places = x.flatten(2)
        hidden = torch.bmm(down.expand(len(x), -1, -1), places)
        made.flatten(2).baddbmm_(up.expand(len(x), -1, -1), hidden, alpha=scale)
        ctx.save_for_backward(places, hidden, base, down, up)
        ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, weights[0].dtype
        return made

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> Any:
        places, hidden, base, down, up = ctx.saved_tensors
        count = len(places)
        flat = gradient.flatten(2)
        lowered = torch.bmm(up.t().expand(count, -1, -1), flat)
        of_x = of_down = of_up = None
        if ctx.needs_input_grad[3]:
            of_down = of_pictures(lowered, places, ctx.scale).to(ctx.dtype)[..., None, None]
            of_up = of_pictures(flat, hidden, ctx.scale).to(ctx.dtype)[..., None, None]
        if ctx.needs_input_grad[0]:
            through = torch.bmm(base.flatten(1).t().expand(count, -1, -1), flat)
            through.baddbmm_(down.t().expand(count, -1, -1), lowered, alpha=ctx.scale)
            of_x = through.view(ctx.shape)
        return of_x, None, None, of_down, of_up


def each(rows: Tensor, count: int) -> Tensor:
    """[N, n k] as [n, N, k]."""
    return rows.view(len(rows), count, -1).transpose(0, 1)


def below(rows: Tensor, count: int) -> Tensor:
    """[n k, r] as [n, k, r]."""
    return rows.view(count, -1, rows.shape[-1])


def of_pictures(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """The sum over pictures of left [B, k, N] times right [B, m, N] turned, [k, m]."""
    if len(left) == 1:
        return scaled(left[0], right[0].t(), scale)
    return scaled(left.transpose(0, 1).flatten(1), right.transpose(0, 1).flatten(1).t(), scale)


def scaled(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """scale * left right, without an operator for the scale."""
    if scale == 1.0:
        return left.mm(right)
    return torch.addmm(nothing_like(left), left, right, beta=0, alpha=scale)


def scaled_each(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """The same for a number of products."""
    if scale == 1.0:
        return left.bmm(right)
    return torch.baddbmm(nothing_like(left), left, right, beta=0, alpha=scale)


def nothing_like(tensor: Tensor) -> Tensor:
    """A zero in the same numbers at the same place, made once."""
    key = (tensor.device, tensor.dtype)
    if key not in _NOTHING:
        _NOTHING[key] = torch.zeros((), device=tensor.device, dtype=tensor.dtype)
    return _NOTHING[key]


def is_joinable(network: Any, layer: nn.Module) -> bool:
    """Whether a network is a plain product beside a layer that is one itself."""
    if not isinstance(network, LowRank) or network.mid is not None or has_dropout(network):
        return False
    if isinstance(layer, nn.Conv2d):
        return (
            layer.kernel_size == (1, 1)
            and layer.stride == (1, 1)
            and layer.padding == (0, 0)
            and layer.groups == 1
        )
    return isinstance(layer, nn.Linear)


def has_dropout(network: LowRank) -> bool:
    drops = network.dropouts
    return bool(drops.values or drops.ranks or drops.layer)
