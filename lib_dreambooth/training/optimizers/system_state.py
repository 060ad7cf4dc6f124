"""What an optimizer remembers, kept in system memory: each weight's part visits the card for its move.

Few numbers stay on the card: bringing them would take longer than it is worth. So do step counts, wherever a
library keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.training.optimizers import places
from lib_dreambooth.training.optimizers.system_memory import SystemMemory

# Fewer numbers than this stay where they are.
SMALLEST = 4096


class SystemState:
    """Takes what is remembered of single weights to system memory, and back to its device for a while.

    Copies are asked for in the order in which the device works, and nothing waits for them: whoever reads
    what is remembered on the computer's side has to `settle` before.
    """

    def __init__(self, device: torch.device, memory: SystemMemory) -> None:
        self.device = device
        self._memory = memory
        # By weight: where its tensors lie, in the order in which they are found.
        self._homes: dict[Tensor, list[Tensor]] = {}

    @contextmanager
    def visiting(self, weight: Tensor, state: Mapping[Tensor, Any]) -> Iterator[None]:
        """What is remembered of a weight is on the device while inside, and in system memory afterwards.

        Whatever is new in it then leaves too, also where the move failed.
        """
        try:
            for tensor in self._large(state.get(weight)):
                if places.place_of(tensor).type != self.device.type:
                    places.bring(tensor, self.device)
            yield
        finally:
            self.leave(weight, state)

    def leave(self, weight: Tensor, state: Mapping[Tensor, Any]) -> None:
        """What is remembered of a weight goes to system memory, unless that is where its device works."""
        if self.device.type == "cpu":
            return
        homes = self._homes.setdefault(weight, [])
        for number, tensor in enumerate(self._large(state.get(weight))):
            if number == len(homes) or not is_like(homes[number], tensor):
                homes[number:] = [self._memory.like(tensor)]
            if places.place_of(tensor).type == self.device.type:
                places.send(tensor, homes[number])

    def settle(self) -> None:
        """Waits until all that has left is in system memory."""
        places.wait_for(self.device)

    def place_name(self, tensor: Tensor) -> str:
        """Where a tensor would be if nothing left the device."""
        return (self.device if tensor.numel() >= SMALLEST else tensor.device).type

    def forget(self, weights: Iterable[Tensor]) -> None:
        """Lets go of the memory of these."""
        for weight in weights:
            self._homes.pop(weight, None)

    def _large(self, remembered: Any) -> list[Tensor]:
        """The tensors that leave, each once."""
        found = {id(one): one for one in places.tensors_in(remembered) if one.numel() >= SMALLEST}
        return list(found.values())


def is_like(home: Tensor, tensor: Tensor) -> bool:
    """Whether a tensor's numbers can lie there as they lie now."""
    return (home.dtype, home.shape, home.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
