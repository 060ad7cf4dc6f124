"""A library optimizer's step taken weight by weight, with the result of one step over all of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lib_dreambooth.training.optimizers.mover import Mover, without_weights


class OneByOne:
    """The step of one mover in pieces: `move` each weight when its gradient is there, `end` after the last.

    What a library counts by step (schedule-free ones do) stands before each weight as it stood before the
    first. Only for optimizers that may move each weight on its own (`Known.apart`).
    """

    def __init__(self, mover: Mover, rounds: bool, seed: int) -> None:
        self.mover = mover
        self._rounds = rounds
        self._seed = seed
        groups = mover.made.param_groups
        self._weights = [list(group["params"]) for group in groups]
        self._before = [copied(without_weights(group)) for group in groups]
        self._places = {id(part.parameter): place for place, part in enumerate(mover.parts)}
        self._has_moved = False

    def move(self, parameter: Tensor, factor: Tensor | None = None) -> None:
        """Moves one weight by its gradient times `factor`."""
        place = self._places[id(parameter)]
        stand_in = self.mover.stand_ins[place]
        for group, weights, before in zip(
            self.mover.made.param_groups, self._weights, self._before, strict=True
        ):
            group.clear()
            group.update(copied(before), params=[w for w in weights if w is stand_in])
        self.mover.step(factor, self._rounds, self._seed, [place])
        self._has_moved = True

    def restore(self) -> None:
        """All weights together again, whatever came of the step."""
        for group, weights in zip(self.mover.made.param_groups, self._weights, strict=True):
            group["params"] = weights

    def end(self) -> None:
        """The step is complete; all weights are together again."""
        self.restore()
        if not self._has_moved:
            # The step counts where nothing had a gradient, as it would in one piece.
            self.mover.step(None, self._rounds, self._seed)


def copied(group: dict[str, Any]) -> dict[str, Any]:
    """A group's own values, so that a step cannot change those that are kept."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in group.items()}
