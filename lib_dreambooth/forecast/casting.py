"""What a device does above its operations, on `meta`: mixed precision's casts, and fused attention.

`torch.autocast` and the fused kernels do not exist for `meta`; this stands in for both, by PyTorch's lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lib_dreambooth.adapters.joint import ON_META
from lib_dreambooth.forecast.meter import WEIGHTS, Meter
from lib_dreambooth.models.loaded import HALVES

FP32 = torch.float32
LOWER = {
    F.linear,
    F.conv1d,
    F.conv2d,
    torch.conv2d,
    torch.matmul,
    torch.mm,
    torch.bmm,
    torch.addmm,
    torch.baddbmm,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.bmm,
}
# Only cards widen these; CPUs leave them in the precision of what comes in.
WIDER = {
    F.layer_norm,
    F.group_norm,
    F.softmax,
    torch.softmax,
    Tensor.softmax,
    F.mse_loss,
    F.smooth_l1_loss,
    torch.exp,
    torch.norm,
    Tensor.norm,
    Tensor.pow,
    Tensor.__pow__,
    Tensor.sum,
}


class Casting(TorchFunctionMode):
    """While inside, arithmetic is done in `compute` as a device of this kind would."""

    def __init__(self, meter: Meter, compute: torch.dtype, kind: str) -> None:
        super().__init__()
        self.meter = meter
        self.compute = compute
        self.is_mixed = compute != FP32
        self.widens = kind == "cuda"
        self._copies: dict[int, Tensor] = {}
        self._is_forward = True

    def __enter__(self) -> Casting:
        self._said = ON_META.set(self.compute)
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        ON_META.reset(self._said)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if self.is_mixed:
            if func in LOWER:
                args, kwargs = self._cast(args, kwargs, self._lowered)
            elif self.widens and func in WIDER:
                args, kwargs = self._cast(args, kwargs, _widened)
        return func(*args, **kwargs)

    def _cast(self, args: Any, kwargs: Any, how: Callable[[Any], Any]) -> tuple[Any, Any]:
        return tuple(how(one) for one in args), {name: how(one) for name, one in kwargs.items()}

    def _lowered(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype == self.compute or not value.is_floating_point():
            return value
        is_kept = self._is_forward and value.is_leaf and value.requires_grad and value.dtype == FP32
        if not is_kept:
            return value.to(self.compute)
        # Weights that learn are cast once, and the copies stay until the forward pass is over. Where a block
        # is computed a second time, they go with the block.
        found = self._copies.get(id(value))
        if found is None:
            found = self._copies[id(value)] = value.to(self.compute)
            self.meter.hold([found], WEIGHTS)
        return found

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **more: Any,
    ) -> Tensor:
        if self.is_mixed:
            query, key, value = (self._lowered(one) for one in (query, key, value))
        found: Tensor = FusedAttention.apply(query, key, value, self.meter, self.widens)  # type: ignore[no-untyped-call]
        return found

    def close(self) -> None:
        """The forward pass is over."""
        self._copies.clear()
        self._is_forward = False


def _widened(value: Any) -> Any:
    is_half = isinstance(value, Tensor) and value.dtype in HALVES
    return value.float() if is_half else value


class FusedAttention(torch.autograd.Function):
    """Attention without a matrix of scores: keeps its inputs, its output and a number for each row.

    B: pictures, H: heads, N: queries, M: keys, D: width of a head.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, meter: Meter, is_card: bool) -> Tensor:
        b, h, n, d = query.shape
        # As the kernels lay it out, so that what follows needs no copy.
        found = query.new_empty(b, n, h, value.shape[-1]).transpose(1, 2)
        ctx.save_for_backward(query, key, value, found, query.new_empty(b, h, n, dtype=FP32))
        ctx.meter, ctx.is_card = meter, is_card
        meter.attend(4.0 * b * h * n * key.shape[2] * d)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value, _, _ = ctx.saved_tensors
        found = tuple(torch.empty_like(one) for one in (query, key, value))
        # Cards sum the queries' gradients in float32.
        extra = math.prod(query.shape) * FP32.itemsize if ctx.is_card else 0
        b, h, n, d = query.shape
        ctx.meter.attend(10.0 * b * h * n * key.shape[2] * d, extra)
        return (*found, None, None)
