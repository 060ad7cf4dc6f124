"""The stretches of a transformer's block between its attentions, each one expression with its gradient.

PyTorch notes down every operator of a forward pass, turns and views too, to go back through all of them. A
stretch is noted once here, and goes back in as many operators as there is arithmetic. What a norm gave is
kept, and what can be had by one multiplication is not.

B: pictures; T: tokens of one; C: width; h: heads; d: C / h. Queries, keys and values are [B, h, T, d].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lib_dreambooth.training.speed.products import Operands, gradients, multiplied

ATEN = torch.ops.aten


class Norm(NamedTuple):
    """A layer norm's own."""

    weight: nn.Parameter
    bias: nn.Parameter
    eps: float

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rows normed, with what going back needs."""
        found: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(
            rows, rows.shape[-1:], self.weight, self.bias, self.eps
        )
        return found

    def back(self, gradient: Tensor, rows: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """The gradient of the rows."""
        found = ATEN.native_layer_norm_backward.default(
            gradient, rows, rows.shape[-1:], mean, spread, self.weight, self.bias, (True, False, False)
        )
        of_rows: Tensor = found[0]
        return of_rows


def in_heads(rows: Tensor, num_pictures: int, heads: int, count: int = 1) -> tuple[Tensor, ...]:
    """[B T, n C] as n tensors [B, h, T, d], without a copy."""
    shape = (num_pictures, -1, count, heads, rows.shape[-1] // (count * heads))
    return rows.view(shape).permute(2, 0, 3, 1, 4).unbind()


def in_rows(parts: Tensor) -> Tensor:
    """[B, h, T, d] as [B T, C]."""
    num_pictures, heads, tokens, width = parts.shape
    return parts.transpose(1, 2).reshape(num_pictures * tokens, heads * width)


def together(parts: Sequence[Tensor]) -> Tensor:
    """n tensors [B, h, T, d] as rows [B T, n C]."""
    if len(parts) == 1:
        return in_rows(parts[0])
    num_pictures, heads, tokens, width = parts[0].shape
    rows = torch.stack([part.transpose(1, 2) for part in parts], 2)
    return rows.view(num_pictures * tokens, len(parts) * heads * width)


class GroupNorm(NamedTuple):
    """A group norm's own."""

    weight: nn.Parameter
    bias: nn.Parameter
    num_groups: int
    eps: float

    def of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A map normed, with what going back needs."""
        count, width, height, length = x.shape
        found: tuple[Tensor, Tensor, Tensor] = torch.native_group_norm(
            x, self.weight, self.bias, count, width, height * length, self.num_groups, self.eps
        )
        return found

    def back(self, gradient: Tensor, x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """The gradient of the map."""
        count, width, height, length = x.shape
        found = ATEN.native_group_norm_backward.default(
            gradient, x, mean, spread, self.weight, count, width, height * length, self.num_groups,
            (True, False, False),
        )  # fmt: skip
        of_x: Tensor = found[0]
        return of_x


def as_rows(x: Tensor) -> Tensor:
    """A map [B, C, H, W] as rows [B H W, C]."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def as_map(rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows as a map of a shape, without a copy."""
    count, _, height, length = shape
    return rows.view(count, height, length, -1).permute(0, 3, 1, 2)


class Opened(torch.autograd.Function):
    """Of a map x [B, C, H, W] the norm's projection as tokens [B, T, C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: GroupNorm, made_of: Operands, *learned: Tensor) -> Tensor:
        x = x.contiguous()
        normed, mean, spread = norm.of(x)
        rows = as_rows(normed)
        made, hidden = multiplied(rows, made_of)
        ctx.save_for_backward(x, mean, spread, rows, hidden)
        ctx.norm, ctx.made_of = norm, made_of
        return made.view(len(x), -1, made.shape[-1])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, given: Tensor) -> Any:
        x, mean, spread, rows, hidden = ctx.saved_tensors
        gradient = given.reshape(len(rows), -1)
        of_rows, learned = gradients(gradient, rows, hidden, ctx.made_of, of_rows=ctx.needs_input_grad[0])
        of_x = None
        if of_rows is not None:
            of_x = ctx.norm.back(as_map(of_rows, x.shape).contiguous(), x, mean, spread)
        return (of_x, None, None, *learned)


class Closed(torch.autograd.Function):
    """The map x with the projection of tokens [B, T, C] added."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, x: Tensor, made_of: Operands, *learned: Tensor) -> Tensor:
        rows = tokens.reshape(-1, tokens.shape[-1])
        made, hidden = multiplied(rows, made_of)
        ctx.save_for_backward(rows, hidden)
        ctx.made_of, ctx.shape = made_of, tokens.shape
        return x + as_map(made, x.shape)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, given: Tensor) -> Any:
        rows, hidden = ctx.saved_tensors
        of_rows, learned = gradients(as_rows(given), rows, hidden, ctx.made_of)
        assert of_rows is not None
        return (of_rows.view(ctx.shape), given, None, *learned)


class Read(torch.autograd.Function):
    """Of x [B, T, I] what n layers make of it, in heads."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, made_of: Operands, heads: int, *learned: Tensor) -> tuple[Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        made, hidden = multiplied(rows, made_of)
        ctx.save_for_backward(rows, hidden)
        ctx.made_of, ctx.shape = made_of, x.shape
        return in_heads(made, len(x), heads, made_of.num_layers)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: Tensor) -> Any:
        rows, hidden = ctx.saved_tensors
        of_rows = ctx.needs_input_grad[0]
        of_x, learned = gradients(together(given), rows, hidden, ctx.made_of, of_rows=of_rows)
        return (None if of_x is None else of_x.view(ctx.shape), None, None, *learned)


class Entered(torch.autograd.Function):
    """Of x [B, T, C] the queries, keys and values of its norm."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm: Norm, made_of: Operands, heads: int, *learned: Tensor
    ) -> tuple[Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        normed, mean, spread = norm.of(rows)
        made, hidden = multiplied(normed, made_of)
        ctx.save_for_backward(rows, normed, mean, spread, hidden)
        ctx.norm, ctx.made_of, ctx.shape = norm, made_of, x.shape
        return in_heads(made, len(x), heads, made_of.num_layers)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: Tensor) -> Any:
        rows, normed, mean, spread, hidden = ctx.saved_tensors
        of_x = ctx.needs_input_grad[0]
        of_normed, learned = gradients(together(given), normed, hidden, ctx.made_of, of_rows=of_x)
        if of_normed is not None:
            of_normed = ctx.norm.back(of_normed, rows, mean, spread).view(ctx.shape)
        return (of_normed, None, None, None, *learned)


class Passed(torch.autograd.Function):
    """Of what the first attention found, and x: x with its output added, and queries of its norm."""

    @staticmethod
    def forward(
        ctx: Any, found: Tensor, x: Tensor, out: Operands, norm: Norm, query: Operands, *learned: Tensor
    ) -> tuple[Tensor, ...]:
        rows = in_rows(found)
        made, hidden = multiplied(rows, out)
        made.add_(x.reshape(made.shape))
        normed, mean, spread = norm.of(made)
        queries, query_hidden = multiplied(normed, query)
        ctx.save_for_backward(rows, hidden, made, normed, mean, spread, query_hidden)
        ctx.out, ctx.norm, ctx.query, ctx.heads = out, norm, query, found.shape[1]
        return (made.view(x.shape), *in_heads(queries, len(x), ctx.heads))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, given: Tensor, of_query: Tensor) -> Any:
        rows, hidden, made, normed, mean, spread, query_hidden = ctx.saved_tensors
        of_normed, query_learned = gradients(in_rows(of_query), normed, query_hidden, ctx.query)
        assert of_normed is not None
        of_made = ctx.norm.back(of_normed, made, mean, spread).add_(given.reshape(made.shape))
        of_found, learned = gradients(of_made, rows, hidden, ctx.out)
        assert of_found is not None
        [of_found] = in_heads(of_found, len(given), ctx.heads)
        return (of_found, of_made.view(given.shape), None, None, None, *learned, *query_learned)


def gelu_back(gradient: Tensor, x: Tensor, into: Tensor) -> None:
    """The gradient of GELU's input, written into its place."""
    if gradient.is_meta:
        # PyTorch 2.1 writes nothing into a place there; forecasts are made on it.
        into.copy_(ATEN.gelu_backward.default(gradient, x))
        return
    ATEN.gelu_backward.grad_input(gradient, x, grad_input=into)


class Fed(torch.autograd.Function):
    """Of what the second attention found, and x: x with its output added, and the feed-forward of that."""

    @staticmethod
    def forward(
        ctx: Any,
        found: Tensor,
        x: Tensor,
        out: Operands,
        norm: Norm,
        wide: Operands,
        narrow: Operands,
        *learned: Tensor,
    ) -> Tensor:
        rows = in_rows(found)
        made, hidden = multiplied(rows, out)
        made.add_(x.reshape(made.shape))
        normed, mean, spread = norm.of(made)
        both, wide_hidden = multiplied(normed, wide)
        values, gates = both.chunk(2, -1)
        opened = F.gelu(gates)
        fed, narrow_hidden = multiplied(values * opened, narrow)
        ctx.save_for_backward(
            rows, hidden, made, normed, mean, spread, wide_hidden, both, opened, narrow_hidden
        )
        ctx.out, ctx.norm, ctx.wide, ctx.narrow, ctx.heads = out, norm, wide, narrow, found.shape[1]
        return fed.add_(made).view(x.shape)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, given: Tensor) -> Any:
        rows, hidden, made, normed, mean, spread, wide_hidden, both, opened, narrow_hidden = ctx.saved_tensors
        values, gates = both.chunk(2, -1)
        gradient = given.reshape(made.shape)
        of_product, narrow_learned = gradients(gradient, values * opened, narrow_hidden, ctx.narrow)
        assert of_product is not None
        of_both = torch.empty_like(both)
        of_values, of_gates = of_both.chunk(2, -1)
        torch.mul(of_product, opened, out=of_values)
        gelu_back(of_product.mul_(values), gates, of_gates)
        of_normed, wide_learned = gradients(of_both, normed, wide_hidden, ctx.wide)
        assert of_normed is not None
        of_made = ctx.norm.back(of_normed, made, mean, spread).add_(gradient)
        of_found, learned = gradients(of_made, rows, hidden, ctx.out)
        assert of_found is not None
        [of_found] = in_heads(of_found, len(given), ctx.heads)
        of_x = of_made.view(given.shape)
        return (of_found, of_x, None, None, None, None, *learned, *wide_learned, *narrow_learned)
