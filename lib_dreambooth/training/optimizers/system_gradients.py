"""Gradients that wait in system memory, for cards that cannot hold all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lib_dreambooth.training.optimizers.mover import Mover
from lib_dreambooth.training.optimizers.one_by_one import OneByOne


class SystemGradients:
    """Takes each gradient off the card as soon as it is whole, adding to what is there of it already.

    For the move each comes back, one at a time.
    """

    def __init__(self, movers: Sequence[Mover]) -> None:
        self._kept: dict[int, Tensor] = {}
        self._handles = []
        for mover in movers:
            mover.gradient_of = self.of
            for parameter in mover.parameters():
                self._handles.append(parameter.register_post_accumulate_grad_hook(self._take))

    def of(self, parameter: Tensor) -> Tensor | None:
        """The sum of a weight's gradients so far."""
        return self._kept.get(id(parameter))

    def step(self, pieces: OneByOne, factor: Tensor | None) -> None:
        """Moves the weights of one mover."""
        for parameter in pieces.mover.parameters():
            gradient = self._kept.pop(id(parameter), None)
            if gradient is not None:
                parameter.grad = gradient.to(parameter.device)
                pieces.move(parameter, None if factor is None else factor.to(parameter.device))
                parameter.grad = None
        pieces.end()

    def clear(self) -> None:
        """Forgets what is kept."""
        self._kept.clear()

    def close(self) -> None:
        """Leaves gradients where they are made from now on."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()
        self.clear()

    @torch.no_grad()
    def _take(self, parameter: Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        assert gradient is not None
        kept = self._kept.get(id(parameter))
        if kept is None:
            self._kept[id(parameter)] = gradient.detach().to("cpu")
        else:
            kept += gradient.detach().to("cpu")
