"""A library optimizer's step taken weight by weight, with the result of one step over all of them."""

from __future__ import annotations

from torch import Tensor

from lib_dreambooth.training.optimizers.groups import Groups
from lib_dreambooth.training.optimizers.mover import Mover


class OneByOne:
    """The step of one mover in pieces: `move` each weight when its gradient is there, `end` after the last.

    Only for optimizers that may move each weight on its own (`Known.apart`).
    """

    def __init__(self, mover: Mover, rounds: bool, seed: int) -> None:
        self.mover = mover
        self._rounds = rounds
        self._seed = seed
        self._groups = Groups(mover.made)
        self._places = {id(part.parameter): place for place, part in enumerate(mover.parts)}
        self._has_moved = False

    def move(self, parameter: Tensor, factor: Tensor | None = None) -> None:
        """Moves one weight by its gradient times `factor`."""
        place = self._places[id(parameter)]
        stand_in = self.mover.stand_ins[place]
        self._groups.only([stand_in])
        with self.mover.remembering(stand_in):
            self.mover.step(factor, self._rounds, self._seed, [place])
        self._has_moved = True

    def move_all(self, factor: Tensor | None = None) -> None:
        """The whole step, of all weights that have a gradient."""
        for parameter in self.mover.parameters():
            if parameter.grad is not None:
                self.move(parameter, factor)
        self.end()

    def restore(self) -> None:
        """All weights together again, whatever came of the step."""
        self._groups.together()

    def end(self) -> None:
        """The step is complete; all weights are together again."""
        self.restore()
        if not self._has_moved:
            # The step counts where nothing had a gradient, as it would in one piece.
            self.mover.step(None, self._rounds, self._seed)
