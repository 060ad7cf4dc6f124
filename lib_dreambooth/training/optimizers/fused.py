"""Weights that move in the backward pass, each as soon as its gradient is known.

So there is never more than one gradient at a time. What needs all of them at once has no place here: clipping
by their common norm, taking a step back after an overflow, sums over several passes or processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.optimizers.chance import seeded
from lib_dreambooth.training.optimizers.clipping import norm_of
from lib_dreambooth.training.optimizers.names import Known
from lib_dreambooth.training.optimizers.one_by_one import OneByOne
from lib_dreambooth.training.optimizers.optimizer import Optimizer

FUSED, GRADIENTS, STATE = "memory.fused_backward", "memory.gradients", "memory.optimizer_state"
# Bytes for each weight in float32: itself, its gradient and two moments; and room for all else.
PER_WEIGHT, ROOM = 16, 1.25


class Norms:
    """The lengths of the gradients of one backward pass, by weight."""

    def __init__(self) -> None:
        self._found: dict[int, Tensor] = {}

    def add(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self._found[id(parameter)] = norm_of([parameter.grad])

    def whole(self, optimizer: Optimizer) -> Tensor:
        """The length of all gradients together, as `Optimizer.clip` gives it."""
        found = [
            self._found[id(parameter)]
            for mover in optimizer.moving()
            for parameter in mover.parameters()
            if id(parameter) in self._found
        ]
        return torch.linalg.vector_norm(torch.stack(found)) if found else torch.zeros(())


@contextmanager
def moving_in_backward(optimizer: Optimizer, seed: int) -> Iterator[Norms]:
    """One backward pass inside moves the weights and leaves no gradient behind."""
    assert not optimizer.is_evaluating, "the weights in place are not the trained ones"
    pieces = [OneByOne(mover, optimizer.rounds_by_chance, seed) for mover in optimizer.moving()]
    owner = {id(parameter): piece for piece in pieces for parameter in piece.mover.parameters()}
    norms = Norms()

    def move(parameter: Tensor) -> None:
        piece = owner.get(id(parameter))
        if piece is not None:
            norms.add(parameter)
            piece.move(parameter)
        parameter.grad = None

    handles = [
        parameter.register_post_accumulate_grad_hook(move)
        for mover in optimizer.movers
        for parameter in mover.parameters()
        if parameter.requires_grad
    ]
    try:
        with seeded(seed):
            yield norms
            for piece in pieces:
                piece.end()
    finally:
        for handle in handles:
            handle.remove()
        for piece in pieces:
            piece.restore()


def fuses(
    run: Run,
    known: Known,
    *,
    num_weights: int,
    card_bytes: int,
    scales_loss: bool,
    processes: int = 1,
    chosen: bool | None = None,
) -> bool:
    """Whether weights move in the backward pass. Raises UserError where that is asked for and cannot be.

    "auto" does it where it can be done and was chosen; where nobody chose, where the card, of `card_bytes`
    (0: none), is too small otherwise.
    """
    setting = run.memory.fused_backward
    if is_adapter(run) or setting == "off" or in_system_memory(run):
        return False
    if setting == "on":
        require_apart(known, FUSED)
        if scales_loss:
            raise impossible("fp16 needs loss scaling, which it cannot undo in time", "Choose bf16")
        require_alone(processes, FUSED)
        if run.memory.pieces > 1:
            raise impossible("it has no gradients of several pieces to add up", "Take batches in one piece")
        return True
    is_possible = may_fuse(run, known, scales_loss=scales_loss, processes=processes)
    is_small = 0 < card_bytes < num_weights * PER_WEIGHT * ROOM
    return is_possible and (is_small if chosen is None else chosen)


def may_fuse(run: Run, known: Known, *, scales_loss: bool, processes: int = 1) -> bool:
    """Whether weights can move in the backward pass and come out the same."""
    return (
        not is_adapter(run)
        and known.apart
        and not scales_loss
        and processes == 1
        and run.length.accumulation == 1
        and run.optimizer.max_grad_norm == 0
        and run.memory.pieces <= 1
    )


def in_system_memory(run: Run, chosen: bool | None = None) -> bool:
    """Whether gradients wait in system memory for the move: where several passes have to be added up.

    "auto" does it where it was chosen, since nothing else fits.
    """
    wanted = run.memory.gradients == "system" or (run.memory.gradients == "auto" and bool(chosen))
    return not is_adapter(run) and wanted and run.length.accumulation > 1


def may_wait(run: Run, known: Known, processes: int = 1) -> bool:
    """Whether gradients can wait in system memory and weights come out the same."""
    return not is_adapter(run) and known.apart and processes == 1 and run.length.accumulation > 1


def keeps_state_away(run: Run, chosen: bool | None = None) -> bool:
    """Whether what the optimizer remembers waits in system memory for the move.

    "auto" does it where it was chosen, since nothing faster fits.
    """
    setting = run.memory.optimizer_state
    return setting == "system" or (setting == "auto" and bool(chosen))


def may_leave(known: Known) -> bool:
    """Whether what an optimizer remembers of a weight can be taken off the card until that weight moves."""
    return known.apart and not known.is_paged


def require_leaving(known: Known) -> None:
    """Raises UserError for optimizers whose memory cannot be taken off the card weight by weight."""
    require_apart(known, STATE)
    if known.is_paged:
        raise UserError(
            f"what {known.name} remembers leaves the card by itself where there is no room.",
            where=STATE,
            todo="Set it to auto, or choose the optimizer without pages.",
            code="unusable-optimizer",
        )


def require_apart(known: Known, where: str) -> None:
    """Raises UserError for optimizers that look at all weights together."""
    if not known.apart:
        raise UserError(
            f"{known.name} is not known to move each weight on its own with the same result.",
            where=where,
            todo="Choose AdamW, AdaFactor, CAME, Lion or one of their 8-bit forms, or turn this off.",
            code="unusable-optimizer",
        )


def require_alone(processes: int, where: str) -> None:
    """Raises UserError where gradients are to be given away before several processes added them up."""
    if processes > 1:
        raise UserError(
            f"{processes} processes have to add up their gradients on the card before weights move.",
            where=where,
            todo="Set it to auto, or train in one process.",
            code="several-processes",
        )


def impossible(why: str, todo: str) -> UserError:
    """The sentence where weights cannot move in the backward pass."""
    return UserError(
        f"the fused backward pass cannot be used here: {why}.",
        where=FUSED,
        todo=f"{todo}, or set it to auto.",
        code="no-fused-backward",
    )
