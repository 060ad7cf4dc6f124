"""What a step gave, read when a card has come to it and not before: nothing waits for a number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_dreambooth.base.errors import UserError

NOT_FINITE = "not-finite"


@dataclass(frozen=True)
class Stepped:
    """What a step gave. `moved` is false where its gradients overflowed and nothing was changed."""

    step: int
    loss: float
    grad_norm: float
    moved: bool = True


class Awaited:
    """A step whose loss and norm are on their way from the card.

    Where they are no numbers nothing may be kept of what this step and all behind it made of the weights.
    """

    moved = True

    def __init__(self, step: int, loss: Tensor, norm: Tensor) -> None:
        self.step = step
        numbers = torch.stack([loss.detach().double(), norm.detach().double()])
        self._arrival: torch.cuda.Event | None = None
        if numbers.is_cuda:
            self._numbers = torch.empty(2, dtype=numbers.dtype, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._arrival = torch.cuda.Event()
            self._arrival.record()
        else:
            self._numbers = numbers

    @property
    def is_here(self) -> bool:
        """Whether `get` does not wait."""
        return self._arrival is None or self._arrival.query()

    def get(self) -> Stepped:
        """The numbers. Raises UserError where they are none."""
        if self._arrival is not None:
            self._arrival.synchronize()
        loss, norm = self._numbers.tolist()
        if not math.isfinite(loss):
            raise not_finite(self.step, "loss")
        if not math.isfinite(norm):
            raise not_finite(self.step, "gradient")
        return Stepped(self.step, loss, norm)


def known(stepped: Stepped | Awaited) -> Stepped:
    """The numbers of a step; waits for them where it has to."""
    return stepped.get() if isinstance(stepped, Awaited) else stepped


def not_finite(step: int, what: str) -> UserError:
    """The sentence for numbers that are none any more."""
    return UserError(
        f"the {what} is no number any more at step {step + 1}; nothing was changed by this step.",
        where="rates.learning_rate",
        todo="Lower the learning rate, choose bf16 in place of fp16, and look for damaged pictures.",
        code=NOT_FINITE,
    )
