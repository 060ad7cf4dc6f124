"""Counts what tensors hold and what operations do, as they happen, on `meta` or on a real device.

Bytes are counted by storage: a view is nothing new, and a storage is gone when the last tensor on it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# What memory is held for. Whatever is not known as something else is workspace while it lasts.
WEIGHTS, ADAPTERS, GRADIENTS, OPTIMIZER, ACTIVATIONS, WORKSPACE = range(6)
PARTS = ("weights", "adapters", "gradients", "optimizer", "activations", "workspace")
Peak = tuple[int, ...]

VIEWS = {
    "view", "_unsafe_view", "t", "transpose", "permute", "expand", "slice", "select", "unsqueeze", "squeeze",
    "as_strided", "detach", "alias", "split", "split_with_sizes", "chunk", "unbind", "reshape", "narrow",
    "lift_fresh", "_reshape_alias", "view_as_real", "resolve_conj", "resolve_neg",
}  # fmt: skip


# Operations that write where they are told, by the argument that says where.
GIVEN_PLACES = {torch.ops.aten.gelu_backward.grad_input: "grad_input"}


@dataclass
class Work:
    """What operations amounted to: multiply-adds count two, bytes are read and written ones."""

    matrix: float = 0.0
    traffic: float = 0.0
    calls: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.matrix + other.matrix, self.traffic + other.traffic, self.calls + other.calls)

    def times(self, count: float) -> Work:
        """So much of it."""
        return Work(self.matrix * count, self.traffic * count, round(self.calls * count))


# So many new storages between two looks at what is gone: a peak between two looks is seen a little low.
OFTEN = 24

# What an operation takes beside its inputs and outputs while it runs, by its arguments and results.
Extra = Callable[[tuple[Any, ...], Any], int]


@dataclass
class Meter(TorchDispatchMode):
    """Sums by part while inside; `peak` is the largest sum with its parts. Threads of its own only.

    `extras` by the operation's name; `grain`: an allocator gives memory in multiples of so many bytes.
    """

    extras: Mapping[str, Extra] = field(default_factory=dict)
    grain: int = 1
    held: list[int] = field(default_factory=lambda: [0] * len(PARTS))
    peak: Peak = (0,) * len(PARTS)
    largest: int = 0
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[int, int]] = {}  # by storage: bytes and part
        self._sum = sum(self.held)
        self._since = 0
        self._plans: dict[Any, tuple[bool, Any, Extra | None]] = {}

    @property
    def total(self) -> int:
        return self._sum

    def hold(self, tensors: Iterable[Tensor], part: int) -> None:
        """These are there already, or are something else than was known."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            known = self._known.get(key)
            if known is None:
                self._add(storage, key, part)
            else:
                self._turn(key, part)
        self.look()

    def reserve(self, num_bytes: int, part: int) -> None:
        """Memory that no tensor stands for here."""
        self.held[part] += num_bytes
        self._sum += num_bytes
        self.look()

    def keep(self) -> None:
        """What is still held for a moment only is held for the backward pass from now on."""
        self._sweep()
        for key, (_, part) in list(self._known.items()):
            if part == WORKSPACE:
                self._turn(key, ACTIVATIONS)
        self.look()
        # A peak of the forward pass saw as a moment's what turned out to be kept.
        parts = list(self.peak)
        moved = min(parts[WORKSPACE], self.held[ACTIVATIONS] - parts[ACTIVATIONS])
        parts[WORKSPACE] -= moved
        parts[ACTIVATIONS] += moved
        self.peak = tuple(parts)

    def restart(self) -> None:
        """The peak and the work from here on."""
        self._sweep()
        self.peak, self.largest, self.work = tuple(self.held), self._sum, Work()

    def close(self) -> None:
        """Lets go of everything."""
        for key in self._known:
            torch.UntypedStorage._free_weak_ref(key)
        self._known.clear()

    def attend(self, matrix: float, extra: int = 0) -> None:
        """Work that is told rather than seen, with the memory that it takes meanwhile."""
        self.work.matrix += matrix
        if extra:
            self.look(extra)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            # Numbers that masks are filled with: any will do.
            return 0.0
        place = GIVEN_PLACES.get(func)
        if place is not None and args[0].is_meta:
            # PyTorch 2.1 knows the operation on meta without the place for its result alone.
            found = kwargs[place]
        else:
            found = RESULTS.of(func, args, kwargs or {})
        plan = self._plans.get(func)
        if plan is None:
            name = func.overloadpacket.__name__
            plan = self._plans[func] = (name in VIEWS, MATRIX.get(name), self.extras.get(name))
        is_view, matrix, extra = plan
        if is_view:
            return found
        self.work.calls += 1
        outputs = [found] if isinstance(found, Tensor) else found if isinstance(found, (tuple, list)) else ()
        touched = 0
        for one in outputs:
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                key = storage._cdata
                if key not in self._known:
                    self._add(storage, key, WORKSPACE)
                touched += one.numel() * one.element_size()
        if matrix is not None:
            self.work.matrix += matrix(args, found)
        for one in args:
            if isinstance(one, Tensor):
                touched += one.numel() * one.element_size()
        self.work.traffic += touched
        if extra is not None:
            self.look(extra(args, found))
        elif self._since >= OFTEN and self._sum > self.largest:
            self.look()
        return found

    def _add(self, storage: Any, key: int, part: int) -> None:
        num_bytes = -(-storage.nbytes() // self.grain) * self.grain
        # Holding on to the address alone: no other storage can have it meanwhile.
        storage._weak_ref()
        self._known[key] = (num_bytes, part)
        self.held[part] += num_bytes
        self._sum += num_bytes
        self._since += 1

    def _turn(self, key: int, part: int) -> None:
        num_bytes, before = self._known[key]
        self.held[before] -= num_bytes
        self.held[part] += num_bytes
        self._known[key] = (num_bytes, part)

    def _sweep(self) -> None:
        """Takes off what is gone. PyTorch 2.1 cannot tell of it at once: that crashed."""
        self._since = 0
        expired = torch.UntypedStorage._expired
        for key in [key for key in self._known if expired(key)]:
            num_bytes, part = self._known.pop(key)
            self.held[part] -= num_bytes
            self._sum -= num_bytes
            torch.UntypedStorage._free_weak_ref(key)

    def look(self, extra: int = 0) -> None:
        """Notes the peak as it stands, with `extra` bytes for this moment."""
        if self._sum + extra <= self.largest:
            return
        if self._since:
            self._sweep()
        if self._sum + extra > self.largest:
            self.largest = self._sum + extra
            *parts, workspace = self.held
            self.peak = (*parts, workspace + extra)


class Results:
    """What operations on `meta` give, remembered by what they were given: PyTorch works that out slowly."""

    def __init__(self) -> None:
        self._forms: dict[Any, Any] = {}
        self._is_fresh: dict[Any, bool] = {}

    def of(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What the operation gives."""
        if not self._gives_new(func):
            return func(*args, **kwargs)
        try:
            key = (func, _mark(args), _mark(tuple(kwargs.items())) if kwargs else None)
            form = self._forms.get(key)
        except TypeError:
            return func(*args, **kwargs)
        if form is None:
            found = func(*args, **kwargs)
            if len(self._forms) >= MOST_FORMS:
                self._forms.clear()
            self._forms[key] = _form(found)
            return found
        return _made(form) if form else func(*args, **kwargs)

    def _gives_new(self, func: Any) -> bool:
        """Whether all that it gives is new: nothing is changed in place, nothing is a view."""
        found = self._is_fresh.get(func)
        if found is None:
            schema = func._schema
            given = [*schema.arguments, *schema.returns]
            is_fresh = bool(schema.returns) and all(one.alias_info is None for one in given)
            found = self._is_fresh[func] = is_fresh and func.overloadpacket.__name__ not in VIEWS
        return found


Form = tuple[Any, ...]
MOST_FORMS = 50_000


def _mark(value: Any) -> Any:
    """Everything about a value that a result's form depends on; TypeError for what is not on `meta`."""
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise TypeError
        return value.dtype, value.shape, value.stride()
    if isinstance(value, (tuple, list)):
        return tuple(map(_mark, value))
    return type(value), value


def _form(found: Any) -> Form:
    """What it takes to make the like; empty where that cannot be done."""
    if isinstance(found, Tensor):
        made = torch.empty_strided(found.shape, found.stride(), dtype=found.dtype, device="meta")
        is_like = found.is_meta and made.untyped_storage().nbytes() == found.untyped_storage().nbytes()
        return (found.shape, found.stride(), found.dtype) if is_like else ()
    if isinstance(found, tuple) and all(one is None or isinstance(one, Tensor) for one in found):
        forms = tuple(None if one is None else _form(one) for one in found)
        return () if () in forms else (forms,)
    return ()


def _made(form: Form) -> Any:
    if len(form) == 1:
        return tuple(None if one is None else _made(one) for one in form[0])
    return torch.empty_strided(form[0], form[1], dtype=form[2], device="meta")


# For all meters: what one run needs, the next that is looked at needs again.
RESULTS = Results()


def _of_product(args: tuple[Any, ...], found: Any) -> float:
    """a [.., n, k] times b [k, m]."""
    a, b = args[-2], args[-1]
    return 2.0 * a.numel() * b.shape[-1]


def _of_convolution(args: tuple[Any, ...], found: Tensor) -> float:
    weight = args[1]
    return 2.0 * found.numel() * (weight.numel() / weight.shape[0])


def _of_convolution_backward(args: tuple[Any, ...], found: Any) -> float:
    gradient, _, weight = args[:3]
    wanted = sum(bool(one) for one in args[-1][:2])
    return 2.0 * wanted * gradient.numel() * (weight.numel() / weight.shape[0])


MATRIX: dict[str, Callable[[tuple[Any, ...], Any], float]] = {
    "mm": _of_product,
    "addmm": _of_product,
    "bmm": _of_product,
    "baddbmm": _of_product,
    "convolution": _of_convolution,
    "convolution_backward": _of_convolution_backward,
}


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What tensors hold together, each storage once."""
    return sum({one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in tensors}.values())


def size_of(shape: Iterable[int], dtype: torch.dtype) -> int:
    """Bytes of a tensor."""
    return math.prod(shape) * dtype.itemsize
