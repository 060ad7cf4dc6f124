"""Several processes that train one model together, each on a card of its own; or one, alone.

Every process takes its part of each step's micro-batches. Gradients and losses are summed, so that all move
their weights alike. The main process alone decides, writes and draws.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.training.precision.devices import choose_device

# Numbers that are summed over all processes at once.
PORTION = 1 << 24
SINGLE_BYTES = 4
# The main process may draw class pictures or wait out a pause meanwhile.
PATIENCE = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """This process among all of a run: `rank` of `count`; `local_rank` among those of this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this one decides, writes and draws."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self.count == 1

    def place_of(self, number: int) -> int:
        """The place in the whole step of this process's micro-batch of that number."""
        return number * self.count + self.rank

    def total(self, value: float) -> float:
        """The sum of a number over all processes, the same in each."""
        if self.is_alone:
            return value
        sums = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(sums)
        return float(sums)

    def agreed_number(self, value: int) -> int:
        """What the main process says; quicker than `agreed`."""
        if self.is_alone:
            return value
        said = torch.tensor(value)
        dist.broadcast(said, src=0)
        return int(said)

    def agreed(self, value: Any) -> Any:
        """What the main process says; plain values."""
        if self.is_alone:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    @torch.no_grad()
    def share(self, tensors: Sequence[Tensor]) -> None:
        """Gives all the numbers that the main process has, of any type."""
        for tensor in () if self.is_alone else tensors:
            if not tensor.numel():
                continue
            data = tensor.detach().contiguous().view(-1).view(torch.uint8)
            dist.broadcast(data, src=0)
            if data.data_ptr() != tensor.data_ptr():
                tensor.copy_(data.view(tensor.dtype).view(tensor.shape))

    def shared(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of the main process, which is the only one that has to have any; on the CPU."""
        if self.is_alone:
            return dict(named)
        described = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in named.items()]
        found = {}
        for name, shape, dtype in self.agreed(described):
            own = named.get(name)
            found[name] = torch.empty(shape, dtype=dtype) if own is None else own
        self.share(list(found.values()))
        return found

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Adds up gradients. What got none anywhere has none afterwards, as in one process."""
        if self.is_alone or not parameters:
            return
        has_one = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int64)
        dist.all_reduce(has_one)
        found = [parameter for parameter, count in zip(parameters, has_one.tolist(), strict=True) if count]
        for parameter in found:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for portion in portioned([parameter.grad for parameter in found if parameter.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in portion])
            if flat.element_size() < SINGLE_BYTES:
                # Not every way between processes knows half precision, and sums in it lose.
                flat = flat.float()
            dist.all_reduce(flat)
            pieces = flat.split([gradient.numel() for gradient in portion])
            for gradient, piece in zip(portion, pieces, strict=True):
                gradient.copy_(piece.view_as(gradient))


ALONE = Processes()


def card_of(setting: str, process: Processes) -> str:
    """The device of the settings; each process of a machine has a card of its own."""
    if process.is_alone or setting not in ("auto", "cuda") or not torch.cuda.is_available():
        return setting
    return f"cuda:{process.local_rank}"


def device_for(setting: str, process: Processes, host_device: str | None = None) -> torch.device:
    """Where this process trains; raises UserError where that is not here."""
    return choose_device(card_of(setting, process), host_device)


def portioned(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Consecutive tensors of one type and about PORTION numbers together."""
    portions: list[list[Tensor]] = []
    count = 0
    for tensor in tensors:
        fits = portions and portions[-1][0].dtype == tensor.dtype and count + tensor.numel() <= PORTION
        if not fits:
            portions.append([])
            count = 0
        portions[-1].append(tensor)
        count += tensor.numel()
    return portions


def launched(environment: Mapping[str, str] = os.environ) -> Processes:
    """What `accelerate launch` or `torchrun` have made this process; nothing is joined yet."""
    count = int(environment.get("WORLD_SIZE") or 1)
    if count <= 1:
        return ALONE
    rank = int(environment["RANK"])
    return Processes(rank, count, int(environment.get("LOCAL_RANK") or rank))


def join(processes: Processes) -> None:
    """Meets the others; returns when all are there."""
    if processes.is_alone or dist.is_initialized():
        return
    if not dist.is_available():
        raise UserError(
            "this PyTorch cannot train in several processes.",
            where="WORLD_SIZE",
            todo="Start it without accelerate launch.",
            code="no-distributed",
        )
    is_nccl = torch.cuda.is_available() and dist.is_nccl_available() and sys.platform != "win32"
    # Numbers of the CPU go through gloo, whatever the card's go through.
    dist.init_process_group("cpu:gloo,cuda:nccl" if is_nccl else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Parts from the others."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
