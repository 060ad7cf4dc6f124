"""What simple operations on `meta` give, said without PyTorch: to say it, that imports its compiler."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# Shape, strides and type of numbers; a tuple of them alone where an operation gives several.
Form = tuple[Any, ...]
Args = tuple[Any, ...]


def shape_of(tensor: Tensor) -> Form:
    """The form of a tensor, if it lies in memory of its own."""
    return tensor.shape, tensor.stride(), tensor.dtype


def said(name: str, args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """What the operation of this name gives; None where PyTorch has to say it."""
    of = _KNOWN.get(name)
    return None if of is None else of(args, kwargs)


def _elementwise(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """Numbers of two, one by one."""
    laid_out = _laid_out(args[:2])
    dtype = torch.result_type(*args[:2])
    if laid_out is None or not dtype.is_floating_point or kwargs.keys() - {"alpha"}:
        return None
    return (*laid_out, dtype)


def _alike(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """Each number of one changed by itself."""
    laid_out = _laid_out(args[:1])
    return None if laid_out is None or not args[0].is_floating_point() else (*laid_out, args[0].dtype)


def _power(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    return None if isinstance(args[1], Tensor) else _alike(args, kwargs)


def _like(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """Room for as many numbers."""
    x = args[0]
    dtype, kept = kwargs.get("dtype") or x.dtype, kwargs.get("memory_format")
    if kept == torch.contiguous_format:
        return x.shape, _rows(x.shape), dtype
    if kept not in (None, torch.preserve_format) or not has_own_places(x):
        return None
    return x.shape, _dense(x.shape, _order(x)), dtype


def _room(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    shape = torch.Size(args[1])
    return shape, _rows(shape), kwargs.get("dtype") or args[0].dtype


def _sum(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """Sums or means over some dimensions, or over all of them."""
    x, dims = args[0], args[1] if len(args) > 1 else None
    if not x.is_floating_point():
        return None
    over = {dim % x.dim() for dim in (dims or range(x.dim()))} if x.dim() else set()
    stays = len(args) > 2 and args[2]
    sizes = [1 if dim in over else size for dim, size in enumerate(x.shape) if stays or dim not in over]
    shape = torch.Size(sizes)
    if not x.is_contiguous() and sum(size > 1 for size in shape) > 1:
        return None
    return shape, _rows(shape), kwargs.get("dtype") or x.dtype


def _back(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    return _elementwise(args, {})


def _comparison(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    laid_out = _laid_out(args[:2])
    return None if laid_out is None else (*laid_out, torch.bool)


def _laid_out(operands: Args) -> tuple[Any, Any] | None:
    """Shape and strides of what becomes of tensors and numbers, where that is simple."""
    tensors = [one for one in operands if isinstance(one, Tensor)]
    shape = _broadcast([one.shape for one in tensors])
    if all(map(lies_in_rows, tensors)):
        return shape, _rows(shape)
    whole = [one for one in tensors if one.dim()]
    if not all(one.shape == shape and has_own_places(one) for one in whole):
        return None
    # The first one decides.
    return shape, _dense(shape, _order(whole[0]))


def lies_in_rows(tensor: Tensor) -> bool:
    """Whether the last dimension's numbers lie nearest to each other, and so on."""
    steps = [step for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1 and step]
    return all(one > other for one, other in itertools.pairwise(steps))


def has_own_places(tensor: Tensor) -> bool:
    """Whether nothing is repeated."""
    return all(step or size == 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def _order(tensor: Tensor) -> tuple[int, ...]:
    """The dimensions, the one whose numbers lie farthest from each other first."""
    strides = tensor.stride()
    return tuple(sorted(range(tensor.dim()), key=lambda dim: (tensor.shape[dim] > 1, -strides[dim])))


def _dense(shape: torch.Size, order: tuple[int, ...]) -> tuple[int, ...]:
    """Strides without gaps for dimensions in this order."""
    found, step = [1] * len(shape), 1
    for dim in reversed(order):
        found[dim] = step
        step *= max(1, shape[dim])
    return tuple(found)


def _broadcast(shapes: Sequence[torch.Size]) -> torch.Size:
    """The shape of what becomes of tensors of these: PyTorch's own function brings its compiler."""
    most = max(map(len, shapes))
    whole = [(1,) * (most - len(shape)) + tuple(shape) for shape in shapes]
    return torch.Size([next((size for size in sizes if size != 1), 1) for sizes in zip(*whole, strict=True)])


def _rows(shape: torch.Size) -> tuple[int, ...]:
    found: list[int] = []
    step = 1
    for size in reversed(shape):
        found.append(step)
        step *= max(1, size)
    return tuple(reversed(found))


def _product(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """a [.., n, k] times b [.., k, m], the last two of what is given."""
    a, b = args[-2:]
    shape = torch.Size([*a.shape[:-1], b.shape[-1]])
    return shape, _rows(shape), a.dtype


def _convolution(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    x, weight, _, strides, edges, gaps, is_transposed, _, _ = args
    if is_transposed or not weight.is_contiguous() or x.dtype != weight.dtype:
        return None
    sizes = [
        (size + 2 * edge - gap * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, edge, gap in zip(
            x.shape[2:], weight.shape[2:], strides, edges, gaps, strict=True
        )
    ]
    return _as_picture(x, torch.Size([x.shape[0], weight.shape[0], *sizes]))


def _convolution_back(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    gradient, x, weight, num_channels, *_, wanted = args
    if not (x.is_contiguous() and weight.is_contiguous()):
        return None
    shapes = (x.shape, weight.shape, torch.Size(num_channels or ()))
    forms = (
        (shape, _rows(shape), gradient.dtype) if is_wanted else None
        for shape, is_wanted in zip(shapes, wanted, strict=True)
    )
    return (tuple(forms),)


def _enlarged(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    x, sizes = args[:2]
    return None if sizes is None else _as_picture(x, torch.Size([*x.shape[:2], *sizes]))


def _enlarged_back(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    return _as_picture(args[0], torch.Size(args[2]))


def _as_picture(like: Tensor, shape: torch.Size) -> Form | None:
    """Another size of a picture [B, C, H, W], laid out as it is."""
    if like.is_contiguous():
        return shape, _rows(shape), like.dtype
    if like.is_contiguous(memory_format=torch.channels_last):
        return shape, _dense(shape, (0, 2, 3, 1)), like.dtype
    return None


def _together(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    tensors, dim = args[0], args[1] if len(args) > 1 else 0
    first = tensors[0]
    dim %= max(1, first.dim())
    if not all(one.is_contiguous() and one.dim() == first.dim() for one in tensors):
        return None
    sizes = list(first.shape)
    sizes[dim] = sum(one.shape[dim] for one in tensors)
    shape = torch.Size(sizes)
    return shape, _rows(shape), functools.reduce(torch.promote_types, (one.dtype for one in tensors))


def _layer_norm(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    x, normalized = args[:2]
    if not has_own_places(x):
        return None
    rows = torch.Size([*x.shape[: -len(normalized)], *(1 for _ in normalized)])
    of_rows = (rows, _rows(rows), torch.float32)
    return (((x.shape, _rows(x.shape), x.dtype), of_rows, of_rows),)


def _layer_norm_back(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    gradient, x, normalized, _, _, weight, bias, wanted = args
    if not (gradient.is_contiguous() and has_own_places(x)) or any(
        one is not None and one.dtype != x.dtype for one in (gradient, weight, bias)
    ):
        return None
    of_weight = torch.Size(normalized), _rows(torch.Size(normalized)), x.dtype
    forms = ((x.shape, _rows(x.shape), x.dtype), of_weight, of_weight)
    return (tuple(form if is_wanted else None for form, is_wanted in zip(forms, wanted, strict=True)),)


def _group_norm_back(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    gradient, x, mean, _, weight, _, num_channels, _, _, wanted = args
    if not (gradient.is_contiguous() and x.is_contiguous()) or any(
        one is None or one.dtype != x.dtype for one in (gradient, mean, weight)
    ):
        return None
    of_weight = torch.Size([num_channels]), (1,), x.dtype
    forms = (shape_of(x), of_weight, of_weight)
    return (tuple(form if is_wanted else None for form, is_wanted in zip(forms, wanted, strict=True)),)


def _group_norm(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    x, count, num_groups = args[0], args[3], args[6]
    if not x.is_contiguous():
        return None
    groups = torch.Size([count, num_groups])
    of_groups = (groups, _rows(groups), x.dtype)
    return ((shape_of(x), of_groups, of_groups),)


def _embedding(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    weight, places = args[:2]
    shape = torch.Size([*places.shape, weight.shape[1]])
    return shape, _rows(shape), weight.dtype


def _stack(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    tensors, dim = args[0], args[1] if len(args) > 1 else 0
    first = tensors[0]
    sizes = list(first.shape)
    sizes.insert(dim % (len(sizes) + 1), len(tensors))
    shape = torch.Size(sizes)
    return (shape, _rows(shape), first.dtype) if len({one.dtype for one in tensors}) == 1 else None


def _place_of_most(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    if len(args) < 2 or args[1] is None or len(args) > 2:
        return None
    sizes = list(args[0].shape)
    del sizes[args[1]]
    shape = torch.Size(sizes)
    return shape, _rows(shape), torch.int64


def _picked(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    """Rows by numbers, for the first dimensions."""
    x, places = args
    if any(one is None or one.dtype != torch.int64 for one in places):
        return None
    shape = torch.Size([*_broadcast([one.shape for one in places]), *x.shape[len(places) :]])
    return shape, _rows(shape), x.dtype


def _arange(args: Args, kwargs: Mapping[str, Any]) -> Form | None:
    if torch.device(kwargs.get("device") or "cpu").type != "meta":
        return None
    first, end = (0, args[0]) if len(args) == 1 else args[:2]
    step = args[2] if len(args) > 2 else 1
    if not all(type(one) is int for one in (first, end, step)):
        return None
    shape = torch.Size([max(0, math.ceil((end - first) / step))])
    return shape, (1,), kwargs.get("dtype") or torch.int64


_KNOWN: Mapping[str, Callable[[Args, Mapping[str, Any]], Form | None]] = {
    "add": _elementwise,
    "sub": _elementwise,
    "rsub": _elementwise,
    "mul": _elementwise,
    "div": _elementwise,
    **dict.fromkeys(("sigmoid", "silu", "gelu", "tanh", "exp", "cos", "sin", "neg", "sqrt", "clamp"), _alike),
    **dict.fromkeys(("sigmoid_backward", "silu_backward", "gelu_backward", "tanh_backward"), _back),
    **dict.fromkeys(("empty_like", "ones_like", "zeros_like"), _like),
    **dict.fromkeys(("new_empty", "new_zeros"), _room),
    **dict.fromkeys(("sum", "mean"), _sum),
    "pow": _power,
    "eq": _comparison,
    "arange": _arange,
    "stack": _stack,
    "index": _picked,
    "argmax": _place_of_most,
    "mm": _product,
    "bmm": _product,
    "addmm": _product,
    "baddbmm": _product,
    "convolution": _convolution,
    "convolution_backward": _convolution_back,
    "upsample_nearest2d": _enlarged,
    "upsample_nearest2d_backward": _enlarged_back,
    "cat": _together,
    "embedding": _embedding,
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_back,
    "native_group_norm": _group_norm,
    "native_group_norm_backward": _group_norm_back,
}
