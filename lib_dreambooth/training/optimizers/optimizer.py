"""What the loop holds: all weights with their rates, moved together, with an exact state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.training.optimizers.chance import seeded
from lib_dreambooth.training.optimizers.clipping import clip_factor, norm_of
from lib_dreambooth.training.optimizers.mover import Mover
from lib_dreambooth.training.optimizers.names import Known
from lib_dreambooth.training.optimizers.one_by_one import OneByOne
from lib_dreambooth.training.optimizers.places import place_of
from lib_dreambooth.training.optimizers.system_gradients import SystemGradients
from lib_dreambooth.training.optimizers.system_memory import SystemMemory
from lib_dreambooth.training.optimizers.system_state import SystemState
from lib_dreambooth.training.optimizers.trees import Json
from lib_dreambooth.training.rates.of_run import Rates


class Optimizer:
    """Moves every part at its own rate. Call `set_rates`, then `clip`, then `step`, once each optimizer step.

    A part that has not begun, has stopped, or whose rate is 0 stays as it is: neither its momentum nor its
    weight decay goes on.
    """

    def __init__(
        self,
        known: Known,
        movers: Sequence[Mover],
        rates: Rates,
        max_grad_norm: float = 0.0,
        rounds_by_chance: bool = True,
    ) -> None:
        self.known = known
        self.movers = list(movers)
        self.rates = rates
        self.max_grad_norm = max_grad_norm
        self.rounds_by_chance = rounds_by_chance
        self.is_evaluating = False
        self.system: SystemGradients | None = None
        self.is_state_away = False
        self._rates: dict[str, float] = {}
        self._factor: Tensor | None = None
        self.set_rates(0)

    def set_rates(self, step: int) -> None:
        """Takes the rates of a step, counted from 0; what has stopped by then gives its memory back."""
        self._rates = {part: self.rates.at(part, step) for part in self.rates.parts}
        for mover in self.movers:
            mover.set_rate(self._rates[mover.key.part] * mover.key.rate)
            if not mover.has_stopped and self.rates.parts[mover.key.part].has_stopped(step):
                mover.forget()

    def active(self) -> list[Part]:
        """What moves at this step."""
        return [part for mover in self.moving() for part in mover.parts]

    def moving(self) -> list[Mover]:
        """The movers whose weights move at this step."""
        return [m for m in self.movers if self._rates[m.key.part] * m.key.rate > 0 and not m.has_stopped]

    def clip(self, loss_scale: float = 1.0) -> Tensor:
        """The norm of all gradients that count, as they are without the loss's scale; nothing waits for it.

        The next `step` takes them shortened to `max_grad_norm` and without the scale. Ask whether the norm is
        finite before that: after it the weights are spoilt.
        """
        norm = norm_of([gradient for mover in self.moving() for gradient in mover.gradients()]) / loss_scale
        self._factor = clip_factor(norm, self.max_grad_norm, loss_scale)
        return norm

    @property
    def can_leave_out(self) -> bool:
        """Whether `step` can be told by the device that nothing is to be moved."""
        return not self._comes_apart and all(mover.can_leave_out for mover in self.movers)

    @property
    def _comes_apart(self) -> bool:
        """Whether each weight moves on its own."""
        return self.system is not None or self.is_state_away

    def step(self, seed: int | None = None, leave_out: Tensor | None = None) -> None:
        """Moves the weights; `seed`, or torch's own, is for what is drawn meanwhile.

        Nothing moves where `leave_out`, one number on the device, is 1; ask `can_leave_out` before.
        """
        assert not self.is_evaluating, "the weights in place are not the trained ones"
        seed = torch.initial_seed() if seed is None else seed
        factor, self._factor = self._factor, None
        with seeded(seed):
            for mover in self.moving():
                if self._comes_apart:
                    self._move_apart(OneByOne(mover, self.rounds_by_chance, seed), factor)
                else:
                    mover.step(factor, self.rounds_by_chance, seed, leave_out=leave_out)

    def _move_apart(self, pieces: OneByOne, factor: Tensor | None) -> None:
        try:
            if self.system is None:
                pieces.move_all(factor)
            else:
                self.system.step(pieces, factor)
        finally:
            pieces.restore()

    def keep_gradients_in_system_memory(self) -> None:
        """From now on each gradient leaves the card as soon as it is whole, until `close`."""
        self.system = SystemGradients(self.movers)

    def keep_state_in_system_memory(self) -> None:
        """From now on what is remembered of each weight is on the card for the weight's move alone."""
        self.is_state_away = True
        device = place_of(self.movers[0].stand_ins[0])
        memory = SystemMemory(device)
        for mover in self.movers:
            mover.keep_away(SystemState(device, memory))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, those of parts that do not move too."""
        if self.system is not None:
            self.system.clear()
        for mover in self.movers:
            for parameter in mover.parameters():
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad.detach_().zero_()

    def learning_rates(self) -> dict[str, float]:
        """The rate of each part at this step, as the schedule has it."""
        return dict(self._rates)

    def effective_rates(self) -> dict[str, float]:
        """The same times what a rate-finding optimizer has found; where groups of a part differ, the largest.

        Waits for the card.
        """
        found: dict[str, float] = {}
        for mover in self.movers:
            part = mover.key.part
            estimate = float(mover.made.param_groups[0].get("d", 1.0)) if self.known.finds_rate else 1.0
            found[part] = max(found.get(part, 0.0), self._rates[part] * estimate)
        return found

    def evaluation_mode(self) -> None:
        """Puts the weights for use in place; only schedule-free optimizers have other ones."""
        assert not self.is_evaluating
        self.is_evaluating = True
        for mover in self.movers:
            mover.to_evaluation()

    def training_mode(self) -> None:
        """Puts the trained weights back, bit for bit."""
        self.is_evaluating = False
        for mover in self.movers:
            mover.to_training()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The weights for use while inside."""
        try:
            self.evaluation_mode()
            yield
        finally:
            self.training_mode()

    def state(self) -> tuple[dict[str, Tensor], Json]:
        """Tensors and JSON that go on exactly when loaded; the tensors are the live ones, not copies."""
        assert not self.is_evaluating, "a state is of the trained weights"
        tensors: dict[str, Tensor] = {}
        movers = {str(mover.key): mover.state(tensors) for mover in self.movers}
        return tensors, {"name": self.known.name, "movers": movers}

    def load(self, tensors: Mapping[str, Tensor], tree: Json) -> None:
        """Puts back a `state` of the same optimizer over the same weights; `set_rates` comes after."""
        assert tree["name"] == self.known.name, "a state of another optimizer"
        for mover in self.movers:
            mover.load(tree["movers"][str(mover.key)], tensors)

    def to(self, device: torch.device) -> None:
        """Takes all memory off the card, and at the next call back to it; nothing is lost in between.

        Move the weights first. No step is taken and no state is made while it is away.
        """
        for mover in self.movers:
            mover.to(device)

    def close(self) -> None:
        """Gives all memory back; the weights stay."""
        self.zero_grad()
        if self.system is not None:
            self.system.close()
        for mover in self.movers:
            mover.close()
