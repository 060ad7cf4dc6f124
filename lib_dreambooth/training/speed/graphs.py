"""A step recorded once and played again: what is asked of the card without the time of asking.

A recording knows addresses and not tensors. So all that is different from step to step lies in fixed places,
which are filled before it is played, and everything else has to stay where it was when it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor


class Graph(Protocol):
    """Something that records what a function asks of a card, without doing it, and does it when played."""

    def record(self, step: Callable[[], None]) -> None: ...

    def play(self) -> None: ...


class CudaGraph:
    """PyTorch's own."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def record(self, step: Callable[[], None]) -> None:
        # Threads that read pictures meanwhile may use the card.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            step()

    def play(self) -> None:
        self._graph.replay()


class Places:
    """Tensors that stay where they are and are given other values."""

    def __init__(self, like: Mapping[str, Tensor], device: torch.device) -> None:
        self.tensors = {name: torch.empty_like(one, device=device) for name, one in like.items()}

    def fill(self, values: Mapping[str, Tensor]) -> None:
        """Takes over values of the same names and shapes."""
        for name, place in self.tensors.items():
            place.copy_(values[name], non_blocking=True)


def shapes_of(values: Mapping[str, Tensor]) -> tuple[tuple[str, tuple[int, ...], torch.dtype], ...]:
    """What tells recordings apart."""
    return tuple((name, tuple(one.shape), one.dtype) for name, one in values.items())


def addresses(tensors: Iterable[Tensor]) -> tuple[int, ...]:
    """Where tensors lie; a recording holds as long as this stays the same."""
    return tuple(tensor.data_ptr() for tensor in tensors)
