"""A running average of the trained weights beside the live ones, which never change because of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.settings.schema import Ema


def decay_at(decay: float, step: int, every: int = 1) -> float:
    """How much of the average is kept at the update after a step, counted from 1.

    `decay` is per step, so that its length in steps does not change with `every`. At first the average
    follows faster, as (1 + n) / (10 + n).
    """
    return min(decay, (1 + step) / (10 + step)) ** every


class Averages:
    """The average of every trained tensor, float32, by the name of its part."""

    def __init__(self, parts: Sequence[Part], decay: float, every: int = 1, place: str = "card") -> None:
        self.decay = decay
        self.every = every
        self.place = place
        self.parts = list(parts)
        self.num_updates = 0
        self._tensors = {part.name: kept_at(part.parameter.detach(), place) for part in self.parts}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the live weights after a step, counted from 1, where an update is due."""
        if step % self.every:
            return
        share = 1.0 - decay_at(self.decay, step, self.every)
        for part in self.parts:
            average = self._tensors[part.name]
            average.lerp_(part.parameter.detach().to(average), share)
        self.num_updates += 1

    def values(self) -> dict[str, Tensor]:
        """The averages by name; live tensors, not copies."""
        return dict(self._tensors)

    def to(self, device: torch.device) -> None:
        """Takes averages kept on the card off it, and back; those in system memory stay there."""
        if self.place == "card":
            for name, average in self._tensors.items():
                self._tensors[name] = average.to(device)

    @contextmanager
    def swapped(self, parts: Sequence[Part] | None = None) -> Iterator[None]:
        """The averages in place of the live weights while inside; after it those are back, bit for bit."""
        chosen = self.parts if parts is None else list(parts)
        live = [(part.parameter, part.parameter.detach().clone()) for part in chosen]
        try:
            with torch.no_grad():
                for part in chosen:
                    part.parameter.copy_(self._tensors[part.name])
            yield
        finally:
            with torch.no_grad():
                for parameter, kept in live:
                    parameter.copy_(kept)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Tensors and JSON that go on exactly when loaded; the tensors are the live ones."""
        return self.values(), {"num_updates": self.num_updates}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, int]) -> None:
        """Puts a `state` over the same parts back."""
        for name, average in self._tensors.items():
            average.copy_(tensors[name])
        self.num_updates = scalars["num_updates"]


def kept_at(weights: Tensor, place: str) -> Tensor:
    """A float32 copy, where the weights are ("card") or in system memory ("system")."""
    device = torch.device("cpu") if place == "system" else weights.device
    return weights.to(device, torch.float32, copy=True)


def averages_of(ema: Ema, parts: Sequence[Part]) -> Averages | None:
    """The averages that the settings ask for; None where they do not."""
    return Averages(parts, ema.decay, ema.every, ema.place) if ema.use else None
