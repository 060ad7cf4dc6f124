"""Taking what an optimizer remembers off a device, and putting back what was there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers, the values of mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple, deque)):
        for item in value:
            yield from tensors_in(item)


def place_of(tensor: Tensor) -> torch.device:
    """Where a tensor is."""
    return tensor.device


def put(tensor: Tensor, device: torch.device) -> None:
    """Moves a tensor where it stands, so that all who hold it go on holding the same."""
    tensor.data = tensor.data.to(device)


def bring(tensor: Tensor, device: torch.device) -> None:
    """Has a tensor's numbers copied to a device, where it stands; CUDA does so when it has come to it."""
    tensor.data = tensor.data.to(device, non_blocking=device.type == "cuda")


def send(tensor: Tensor, home: Tensor) -> None:
    """The way back: its numbers lie in `home` from then on."""
    home.copy_(tensor.data, non_blocking=tensor.is_cuda)
    tensor.data = home


def wait_for(device: torch.device) -> None:
    """Waits until a device has done all it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


PAGE = 4096


def draw_in(buffer: Tensor) -> int:
    """Draws memory that the driver keeps on the card or off it into system memory, by reading of every page.

    bitsandbytes has a function for that, which asks for attributes of a device -1.
    """
    if torch.cuda.is_available():
        # Where memory cannot be read while the card works on it, this would end the process.
        torch.cuda.synchronize()
    return int(buffer.view(-1).view(torch.uint8)[::PAGE].sum())


class Moving:
    """What has left a device, to be taken back to it.

    Step counts that a library keeps in system memory beside weights on a card never leave and never come.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._away: list[Tensor] | None = None

    @property
    def is_away(self) -> bool:
        """Whether what was remembered has left its device."""
        return self._away is not None

    def move(self, remembered: Iterator[Tensor], device: torch.device) -> None:
        """Moves what is on the present device to another, or what has left a card back to one."""
        if device.type == self.device.type:
            return
        if self._away is None:
            each = {id(tensor): tensor for tensor in remembered}.values()
            self._away = moving = [t for t in each if place_of(t).type == self.device.type]
        else:
            moving, self._away = self._away, None
        for tensor in moving:
            put(tensor, device)
        self.device = device

    def forget(self) -> None:
        """Lets go of what has left: it is not wanted back."""
        if self._away is not None:
            self._away = []
