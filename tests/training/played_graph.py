"""A recording of a step without a card: it plays the function itself, and sees that a real one could.

A recording on a card asks for the same operators with the same numbers at the same addresses each time. So a
play here fails where it asks for anything else than the first one did, reads memory that was not there then,
or hands a number to the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from benchmarks.race.counting import WAITS

# They bring values from the host, which a recording would repeat.
BRINGS = {"aten::lift_fresh", "aten::set_", "aten::scalar_tensor"}
Asked = list[tuple[str, tuple[Any, ...]]]


class Watching(TorchDispatchMode):
    """Writes down every operator with its numbers, and where tensors lie that come from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Asked = []
        self._kept: list[Tensor] = []
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        assert name not in WAITS | BRINGS, f"{name} cannot be recorded"
        if name.startswith("profiler::"):
            return func(*args, **(kwargs or {}))
        given, _ = tree_flatten((args, kwargs or {}))
        self.asked.append((name, tuple(map(self._told, given))))
        found = func(*args, **(kwargs or {}))
        for one in tree_flatten(found)[0]:
            # A changed tensor of outside stays one of outside.
            if isinstance(one, Tensor) and not any(one is other for other in given) and not is_view(func):
                self._kept.append(one)
                self._made.add(one.untyped_storage().data_ptr())
        return found

    def _told(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        is_ours = value.untyped_storage().data_ptr() in self._made
        return tuple(value.shape) if is_ours else (value.data_ptr(), tuple(value.shape))


def is_view(func: Any) -> bool:
    """Whether what an operator gives is what it was given."""
    return any(one.alias_info is not None for one in func._schema.returns)


class Played:
    """The stand-in for a recording."""

    def __init__(self) -> None:
        self._step: Callable[[], None] | None = None
        self._first: Asked | None = None

    def record(self, step: Callable[[], None]) -> None:
        self._step = step

    def play(self) -> None:
        assert self._step is not None
        watching = Watching()
        with watching:
            self._step()
        if self._first is None:
            self._first = watching.asked
        for asked, first in zip(watching.asked, self._first, strict=True):
            assert asked == first, asked[0]


class Failing(Played):
    """One whose card refuses."""

    def record(self, step: Callable[[], None]) -> None:
        step()
        raise RuntimeError("operation not permitted when stream is capturing")


class Wrong(Played):
    """One that gives something else than was asked for."""

    def play(self) -> None:
        super().play()
        self.spoil()

    def spoil(self) -> None:
        with torch.no_grad():
            for one in self.places:
                one.add_(1.0)

    places: tuple[Tensor, ...] = ()
