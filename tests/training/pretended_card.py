"""A card that is pretended: a register says which tensor is where, and moving is copying."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib_dreambooth.training.optimizers import mover, optimizer, places, system_state
from lib_dreambooth.training.optimizers.places import Moving

CPU, CARD = torch.device("cpu"), torch.device("cuda:0")


class PretendedCard:
    """Everything is on the card but single numbers, as step counts are, and what was taken off it.

    What is sent off it without waiting arrives when somebody waits for it or has it brought back; until then
    there is something else in its place.
    """

    def __init__(self) -> None:
        self.on_cpu: dict[int, Tensor] = {}
        self.num_sent = 0
        self.most_here = 0  # bytes at once, of what was brought
        self._on_the_way: dict[int, tuple[Tensor, Tensor]] = {}
        self._here: dict[int, int] = {}

    def place_of(self, tensor: Tensor) -> torch.device:
        return CPU if tensor.ndim == 0 or id(tensor) in self.on_cpu else CARD

    def put(self, tensor: Tensor, device: torch.device) -> None:
        tensor.data = tensor.data.clone()
        if device.type == "cpu":
            self.on_cpu[id(tensor)] = tensor
        else:
            del self.on_cpu[id(tensor)]

    def bring(self, tensor: Tensor, device: torch.device) -> None:
        home, values = self._on_the_way.pop(id(tensor), (tensor.data, tensor.data))
        home.copy_(values)
        self.put(tensor, device)
        self._here[id(tensor)] = tensor.nbytes
        self.most_here = max(self.most_here, sum(self._here.values()))

    def send(self, tensor: Tensor, home: Tensor) -> None:
        self._on_the_way[id(tensor)] = home, tensor.data.clone()
        home.view(torch.uint8).fill_(0xFF)
        tensor.data = home
        self.on_cpu[id(tensor)] = tensor
        self._here.pop(id(tensor), None)
        self.num_sent += 1

    def wait_for(self, device: torch.device) -> None:
        assert device == CARD
        for home, values in self._on_the_way.values():
            home.copy_(values)
        self._on_the_way.clear()

    def at_work(self, patch: pytest.MonkeyPatch) -> PretendedCard:
        """Everything that asks where tensors are asks this from now on."""
        for name in ("place_of", "put", "bring", "send", "wait_for"):
            patch.setattr(places, name, getattr(self, name))
        patch.setattr(optimizer, "place_of", self.place_of)
        patch.setattr(mover, "place_name", lambda tensor: self.place_of(tensor).type)
        patch.setattr(mover, "Moving", lambda device: Moving(CARD))
        # Whatever is no single number leaves.
        patch.setattr(system_state, "SMALLEST", 2)
        return self
