"""An optimizer before it has moved anything, to come back to where memory ends while it prepares for that."""

from __future__ import annotations

from collections.abc import Mapping

from lib_dreambooth.training.optimizers.in_one_call import STEP as COUNT
from lib_dreambooth.training.optimizers.optimizer import Optimizer


class BeforeMove:
    """What an optimizer and its weights are now; cheap only while nothing is remembered yet."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._weights = [parameter for mover in optimizer.movers for parameter in mover.parameters()]
        # PyTorch counts what is written into a tensor.
        self._versions = [weight._version for weight in self._weights]
        self._is_fresh = not any(mover.made.state for mover in optimizer.movers)
        if self._is_fresh:
            tensors, self._tree = optimizer.state()
            self._tensors = {name: tensor.clone() for name, tensor in tensors.items()}

    def restore(self) -> bool:
        """Whether nothing has moved since; then the optimizer is as it was."""
        versions = [weight._version for weight in self._weights]
        if not self._is_fresh or versions != self._versions or has_counted(self._optimizer):
            return False
        for mover in self._optimizer.movers:
            if mover.is_half:
                mover.clear()
        self._optimizer.load(self._tensors, self._tree)
        return True


def has_counted(optimizer: Optimizer) -> bool:
    """Whether a weight has moved by its own count: fused AdamW and bitsandbytes tell PyTorch nothing."""
    states = [state for mover in optimizer.movers for state in mover.made.state.values()]
    return any(float(state.get(COUNT, 0)) > 0 for state in states if isinstance(state, Mapping))
