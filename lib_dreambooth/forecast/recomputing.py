"""Blocks computed a second time on `meta`, with what PyTorch's `checkpoint` holds at each moment.

PyTorch's own imports its compiler, which takes longer than a forecast.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class Enough(Exception):
    """All that the backward pass asks for was computed again."""


class Inputs(torch.autograd.Function):
    """Keeps a block's inputs as the graph around it keeps them."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        return torch.empty(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise AssertionError("nothing is learned by way of this")


class Place:
    """Where something stood that the backward pass will ask for."""

    found: Tensor | None = None


class Twice:
    """One block of one forward pass."""

    def __init__(self, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._forward = forward
        self._kwargs = kwargs
        tensors = {place: one for place, one in enumerate(args) if isinstance(one, Tensor)}
        self._places_of_inputs = list(tensors)
        self._args = [None if place in tensors else one for place, one in enumerate(args)]
        self._inputs = Inputs.apply(torch.empty(0, requires_grad=True), *tensors.values())  # type: ignore[no-untyped-call]
        self._places: list[weakref.ref[Place]] = []
        self._num_found = 0

    def leave(self, tensor: Tensor) -> Place:
        """Notes that this was wanted, and does not keep it."""
        place = Place()
        self._places.append(weakref.ref(place))
        return place

    def fetch(self, place: Place) -> Tensor:
        """What stood there: the first one who asks has all of the block computed again."""
        if not self._num_found:
            self._compute()
        found, place.found = place.found, None
        assert found is not None
        return found

    def _compute(self) -> None:
        args = list(self._args)
        for place, tensor in zip(self._places_of_inputs, self._inputs.grad_fn.saved_tensors, strict=True):
            args[place] = tensor
        hooks = saved_tensors_hooks(self._find, lambda tensor: tensor)
        with contextlib.suppress(Enough), hooks, torch.enable_grad():
            self._forward(*args, **self._kwargs)

    def _find(self, tensor: Tensor) -> Tensor:
        place = self._places[self._num_found]()
        self._num_found += 1
        tensor = tensor.detach()
        if place is not None:
            place.found = tensor
        if self._num_found == len(self._places):
            raise Enough
        return tensor


def twice(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A forward pass that keeps its inputs only, where gradients are wanted at all."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    block = Twice(forward, args, kwargs)
    with saved_tensors_hooks(block.leave, block.fetch):
        return forward(*args, **kwargs)
