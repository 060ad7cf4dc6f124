"""Blocks that are alike, gone through once: a pass without gradients takes the same for each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from lib_dreambooth.forecast.meter import Meter, Taken, mark


@contextmanager
def once_for_alike(roots: Iterable[nn.Module], meter: Meter, beside: Mapping[int, Any]) -> Iterator[None]:
    """While inside, blocks in lists are gone through once for all with the same layers and inputs.

    `beside` says what stands beside a layer, by its `id`. Not for heaps, where it matters what lies where.
    """
    lists = (one for root in roots for one in root.modules() if isinstance(one, nn.ModuleList))
    blocks = [one for several in lists for one in several if next(one.children(), None) is not None]
    seen = _Seen(meter, beside)
    for block in blocks:
        assert "forward" not in block.__dict__, "somebody else computes this block"
        block.forward = functools.partial(seen.passed, block, block.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


class _Seen:
    """What blocks took, by all that it depends on; None where a block cannot be told from its inputs."""

    def __init__(self, meter: Meter, beside: Mapping[int, Any]) -> None:
        self._meter = meter
        self._beside = beside
        self._taken: dict[Any, Taken | None] = {}

    def passed(self, block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the block gives, or the like of it."""
        try:
            key = self._kind_of(block), mark(args), mark(tuple(kwargs.items()))
        except TypeError:
            return forward(*args, **kwargs)
        if key in self._taken:
            known = self._taken[key]
            return forward(*args, **kwargs) if known is None else self._meter.again(known)
        before = self._meter.begin()
        found = forward(*args, **kwargs)
        taken = self._meter.end(before, found)
        is_new = bool(taken.gave) and not _is_from(found, (*args, *kwargs.values()))
        self._taken[key] = taken if is_new else None
        return found

    def _kind_of(self, block: nn.Module) -> Any:
        return tuple(
            (type(layer), self._beside.get(id(layer)), *map(_weight, layer._parameters.values()))
            for layer in block.modules()
        )


def _weight(weight: Tensor | None) -> Any:
    return None if weight is None else (weight.shape, weight.dtype)


def _is_from(found: Any, given: tuple[Any, ...]) -> bool:
    """Whether a block hands on what it was given."""
    places = {one.untyped_storage()._cdata for one in given if isinstance(one, Tensor)}
    outputs = found if isinstance(found, tuple) else (found,)
    return any(isinstance(one, Tensor) and one.untyped_storage()._cdata in places for one in outputs)
