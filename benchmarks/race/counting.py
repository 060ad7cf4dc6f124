"""Operator calls and waits of the host, by count."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# They hand a number, or the places of numbers, to the host: on a card it waits for all that was asked before.
WAITS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
}


class Counting(TorchDispatchMode):
    """Counts while inside, in backward passes too.

    A copy from the model's device to another is a wait as well, where a card is used; on a CPU there is no
    telling them from other copies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func._schema.name
        if not is_view(func):
            self.calls[name] += 1
        if name in WAITS or (name in COPIES and leaves_card(args, found)):
            self.waits += 1
        return found

    def operators(self) -> int:
        """All calls but those that only look at a tensor in another way."""
        return sum(self.calls.values())


COPIES = {"aten::_to_copy", "aten::copy_"}


def leaves_card(args: Any, found: Any) -> bool:
    """Whether a copy went from a card to the host."""
    sources = [one for one in args if isinstance(one, torch.Tensor) and one.is_cuda]
    return bool(sources) and isinstance(found, torch.Tensor) and not found.is_cuda


def is_view(func: Any) -> bool:
    """Whether an operator computes nothing: what it gives is what it was given."""
    return any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
