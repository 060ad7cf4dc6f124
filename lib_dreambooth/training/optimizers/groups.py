"""A library's groups of weights, cut down to some of them for a moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor


class Groups:
    """The groups of an optimizer as they were when this was made.

    What a library counts by step, or notes of a group (schedule-free ones do), stands before each weight as
    it stood before the first.
    """

    def __init__(self, library: torch.optim.Optimizer) -> None:
        self._groups = library.param_groups
        self._weights = [list(group["params"]) for group in self._groups]
        self._before = [copied(without_weights(group)) for group in self._groups]

    def only(self, chosen: Collection[Tensor]) -> None:
        """The library sees these weights alone, with everything else as it was."""
        ids = {id(weight) for weight in chosen}
        for group, weights, before in zip(self._groups, self._weights, self._before, strict=True):
            group.clear()
            group.update(copied(before), params=[weight for weight in weights if id(weight) in ids])

    def together(self) -> None:
        """All weights are there again; everything else stays as the library left it."""
        for group, weights in zip(self._groups, self._weights, strict=True):
            group["params"] = weights


def copied(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's own values, so that a step cannot change those that are kept."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in group.items()}


def without_weights(group: Mapping[str, Any]) -> dict[str, Any]:
    """What a group says beside its weights."""
    return {name: value for name, value in group.items() if name != "params"}
