"""Counts what tensors hold and what operations do, as they happen, on `meta` or on a real device.

Bytes are counted by storage: a view is nothing new, and a storage is gone when the last tensor on it is.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lib_dreambooth.forecast.forms import Form, said, shape_of
from lib_dreambooth.forecast.heap import Heap

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
GIVEN_PLACES = {
    torch.ops.aten.gelu_backward.grad_input: "grad_input",
    torch.ops.aten.mul.out: "out",
}
ITEM = torch.ops.aten._local_scalar_dense.default
# Operations that change nothing but what their first argument holds: on `meta` there is nothing to do, and
# PyTorch takes long for it.
IN_PLACE = {
    "add_", "sub_", "mul_", "div_", "neg_", "addmm_", "baddbmm_", "addcmul_", "addcdiv_", "lerp_", "copy_",
    "zero_", "fill_", "masked_fill_", "clamp_", "clamp_min_", "clamp_max_", "sigmoid_", "silu_", "relu_",
    "exp_", "sqrt_", "rsqrt_", "pow_",
}  # fmt: skip


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
# An operation that touches so large a part of the sum is looked at by itself.
LARGE = 16
# A heap wants to know at once of what is gone; nearly all that goes is among so many of the youngest.
YOUNGEST = 48

# What an operation takes beside its inputs and outputs while it runs, by its arguments and results.
Extra = Callable[[tuple[Any, ...], Any], int]


class TooMuch(Exception):
    """More than was to be counted."""


@dataclass(frozen=True)
class Taken:
    """What a part of a pass took: beyond what stood before it, at its peak and after it, and its work.

    `gave` is what it takes to make the like of its result, empty where that cannot be done.
    """

    peak: Peak
    left: Peak
    work: Work
    gave: Form


@dataclass(frozen=True)
class _Before:
    """Where a meter stood when a part of a pass began."""

    largest: int
    peak: Peak
    held: Peak
    work: Work
    often: int


@dataclass
class Meter(TorchDispatchMode):
    """Sums by part while inside; `peak` is the largest sum with its parts. Threads of its own only.

    `extras` by the operation's name; `grain`: an allocator gives memory in multiples of so many bytes;
    `heap`: what blocks lie in, where that keeps gaps; `limit`: beyond so many bytes it raises TooMuch.
    """

    extras: Mapping[str, Extra] = field(default_factory=dict)
    grain: int = 1
    heap: Heap | None = None
    limit: float = math.inf
    held: list[int] = field(default_factory=lambda: [0] * len(PARTS))
    peak: Peak = (0,) * len(PARTS)
    largest: int = 0
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        super().__init__()
        # By storage: bytes and part; what others hold for as long as this counts is looked at no more.
        self._known: dict[int, tuple[int, int]] = {}
        self._lasting: dict[int, tuple[int, int]] = {}
        self._sum = sum(self.held)
        self._reserved = 0
        self._since = 0
        self._often = OFTEN
        self._plans: dict[int, tuple[bool, Any, Extra | None, str | None]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; PyTorch would wrap each call, and import its compiler for that."""
        return False

    @property
    def total(self) -> int:
        return self._sum

    def hold(
        self, tensors: Iterable[Tensor], part: int, *, lasts: bool = False, is_elsewhere: bool = False
    ) -> None:
        """These are there already, or are something else than was known.

        `lasts`: the caller keeps them for as long as this counts. `is_elsewhere`: in another thread's heap.
        """
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._known and key not in self._lasting:
                self._add(storage, key, part, is_elsewhere=is_elsewhere)
            else:
                self._turn(key, part)
            if lasts and key in self._known:
                self._lasting[key] = self._known.pop(key)
        self.look()

    def reserve(self, num_bytes: int, part: int) -> None:
        """Memory that no tensor stands for here."""
        self.held[part] += num_bytes
        self._sum += num_bytes
        self._reserved += num_bytes
        self.look()

    @property
    def gaps(self) -> int:
        """What the heap had at its highest beyond the largest sum."""
        return 0 if self.heap is None else max(0, self.heap.highest + self._reserved - self.largest)

    def settle(self, sizes: Sequence[int]) -> None:
        """What was reserved so far lies in blocks of these sizes from now on."""
        if self.heap is not None:
            self.heap.settle(sizes)
            self._reserved -= sum(sizes)

    def repeat(self) -> None:
        """The heap sees all of it once more."""
        self._sweep()
        if self.heap is not None:
            self.heap.repeat()

    def keep(self) -> None:
        """What is still held for a moment only is held for the backward pass from now on."""
        self._sweep()
        for key, (_, part) in list(self._known.items()):
            if part == WORKSPACE:
                self._turn(key, ACTIVATIONS)
        self.look()
        # A peak of the forward pass saw as a moment's what turned out to be kept, or weights in new places.
        parts = list(self.peak)
        for part in (WEIGHTS, ADAPTERS, ACTIVATIONS):
            moved = max(0, min(parts[WORKSPACE], self.held[part] - parts[part]))
            parts[WORKSPACE] -= moved
            parts[part] += moved
        self.peak = tuple(parts)

    def restart(self, *, has_graph: bool = False) -> None:
        """The peak and the work from here on; `has_graph`: a graph is built and gone through."""
        self._sweep()
        self.peak, self.largest, self.work = tuple(self.held), self._sum, Work()
        if self.heap is not None:
            self.heap.restart(has_graph=has_graph)

    def begin(self) -> _Before:
        """A part of a pass begins, to be measured by itself until `end`; a heap's gaps are of the whole."""
        self._sweep()
        before = _Before(self.largest, self.peak, tuple(self.held), self.work, self._often)
        # Nothing in it is seen a second time: every moment counts.
        self._often = 1
        self.peak, self.largest, self.work = before.held, self._sum, Work()
        return before

    def end(self, before: _Before, found: Any) -> Taken:
        """What was taken since `before`, where `found` came of it."""
        self.look()
        self._sweep()
        peak, left = (_beyond(some, before.held) for some in (self.peak, self.held))
        taken = Taken(peak, left, self.work, form_of(found))
        self.work, self._often = before.work + taken.work, before.often
        if before.largest >= self.largest:
            self.peak, self.largest = before.peak, before.largest
        return taken

    def again(self, taken: Taken) -> Any:
        """As much once more, with the like of its result."""
        self._sweep()
        self._shift(taken.peak)
        self.look()
        self._shift(_beyond((0,) * len(PARTS), taken.peak))
        work, stood = self.work, tuple(self.held)
        self.work = Work()
        found = made_like(taken.gave)
        self.work = work + taken.work
        self._shift(_beyond(taken.left, _beyond(self.held, stood)))
        return found

    def _shift(self, more: Peak) -> None:
        """So much more is held, by part, without a storage for it."""
        self.held = list(map(operator.add, self.held, more))
        self._sum += sum(more)

    def in_pieces(self) -> None:
        """From here on parts of the graph are built a second time, and gone soon."""
        if self.heap is not None:
            self.heap.in_pieces()

    def close(self) -> None:
        """Lets go of everything."""
        for known in (self._known, self._lasting):
            for key in known:
                torch.UntypedStorage._free_weak_ref(key)
            known.clear()

    def attend(self, matrix: float, extra: int = 0) -> None:
        """Work that is told rather than seen, with the memory that it takes meanwhile."""
        self.work.matrix += matrix
        if extra:
            self.look(extra)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plan = self._plans.get(id(func))
        if plan is None:
            name = func.overloadpacket.__name__
            # By `id`: operations stay where they are, and know their hash slowly.
            plan = name in VIEWS, MATRIX.get(name), self.extras.get(name), GIVEN_PLACES.get(func)
            self._plans[id(func)] = plan
        is_view, matrix, extra, place = plan
        if place is not None and args[0].is_meta:
            # PyTorch 2.1 knows the operation on meta without the place for its result alone.
            found = kwargs[place]
        elif func is ITEM and args[0].is_meta:
            # Numbers that masks are filled with: any will do.
            return 0.0
        else:
            found = RESULTS.of(func, args, kwargs or {})
        if is_view:
            return found
        if self.heap is not None:
            self._notice()
        self.work.calls += 1
        outputs = [found] if isinstance(found, Tensor) else found if isinstance(found, (tuple, list)) else ()
        touched = 0
        for one in outputs:
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                key = storage._cdata
                if key not in self._known and key not in self._lasting:
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
        elif self._sum > self.largest:
            # What is large for a moment alone is not passed over.
            if self._since >= self._often or touched * LARGE > self._sum:
                self.look()
            elif self.heap is not None:
                self._note(0)
        return found

    def _add(self, storage: Any, key: int, part: int, *, is_elsewhere: bool = False) -> None:
        num_bytes = -(-storage.nbytes() // self.grain) * self.grain
        # Holding on to the address alone: no other storage can have it meanwhile.
        storage._weak_ref()
        self._known[key] = (num_bytes, part)
        self.held[part] += num_bytes
        self._sum += num_bytes
        self._since += 1
        if self.heap is not None:
            self.heap.take(key, num_bytes, is_elsewhere=is_elsewhere)

    def _turn(self, key: int, part: int) -> None:
        among = self._known if key in self._known else self._lasting
        num_bytes, before = among[key]
        self.held[before] -= num_bytes
        self.held[part] += num_bytes
        among[key] = (num_bytes, part)

    def _sweep(self) -> None:
        """Takes off what is gone. PyTorch 2.1 cannot tell of it at once: that crashed."""
        self._since = 0
        expired = torch.UntypedStorage._expired
        self._take_off([key for key in self._known if expired(key)])

    def _notice(self) -> None:
        """Takes off what is gone of the youngest."""
        expired = torch.UntypedStorage._expired
        gone = [key for key in itertools.islice(reversed(self._known), YOUNGEST) if expired(key)]
        if gone:
            self._take_off(gone)

    def _take_off(self, gone: Iterable[int]) -> None:
        for key in gone:
            num_bytes, part = self._known.pop(key)
            self.held[part] -= num_bytes
            self._sum -= num_bytes
            torch.UntypedStorage._free_weak_ref(key)
            if self.heap is not None:
                self.heap.give(key)

    def look(self, extra: int = 0) -> None:
        """Notes the peak as it stands, with `extra` bytes for this moment."""
        if extra and self.heap is not None:
            self.heap.pass_by(extra)
        if self._sum + extra <= self.largest:
            return
        if self._since:
            self._sweep()
        if self._sum + extra > self.largest:
            self._note(extra)

    def _note(self, extra: int) -> None:
        self.largest = self._sum + extra
        *parts, workspace = self.held
        self.peak = (*parts, workspace + extra)
        if self.largest > self.limit:
            raise TooMuch


def _beyond(some: Sequence[int], others: Sequence[int]) -> Peak:
    return tuple(map(operator.sub, some, others))


class Results:
    """What operations on `meta` give, remembered by what they were given: PyTorch works that out slowly."""

    def __init__(self) -> None:
        self._forms: dict[Any, Any] = {}
        self._ways: dict[int, str] = {}

    def of(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What the operation gives."""
        way = self._ways.get(id(func))
        if way is None:
            way = self._ways[id(func)] = _way(func)
        if way == SAME and args[0].is_meta:
            return args[0]
        if way != NEW:
            return func(*args, **kwargs)
        try:
            key = (id(func), mark(args), mark(tuple(kwargs.items())) if kwargs else None)
            form = self._forms.get(key)
        except TypeError:
            return func(*args, **kwargs)
        if form is None:
            form = self._forms[key] = said(func.overloadpacket.__name__, args, kwargs)
        if form is None:
            found = func(*args, **kwargs)
            if len(self._forms) >= MOST_FORMS:
                self._forms.clear()
            self._forms[key] = form_of(found)
            return found
        return made_like(form) if form else func(*args, **kwargs)


# What an operation gives: something new, its first argument with other contents, or anything else.
NEW, SAME, OTHER = "new", "same", "other"


def _way(func: Any) -> str:
    name, schema = func.overloadpacket.__name__, func._schema
    if name in IN_PLACE:
        return SAME
    given = [*schema.arguments, *schema.returns]
    is_fresh = bool(schema.returns) and all(one.alias_info is None for one in given)
    return NEW if is_fresh and name not in VIEWS else OTHER


MOST_FORMS = 50_000


def mark(value: Any) -> Any:
    """Everything about a value that a result's form depends on; TypeError for what is not on `meta`."""
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise TypeError
        return value.dtype, value.shape, value.stride()
    if isinstance(value, (tuple, list)):
        return tuple(map(mark, value))
    return type(value), value


def form_of(found: Any) -> Form:
    """What it takes to make the like; empty where that cannot be done."""
    if isinstance(found, Tensor):
        last = sum((size - 1) * stride for size, stride in zip(found.shape, found.stride(), strict=True))
        num_bytes = (last + 1) * found.element_size() if found.numel() else 0
        is_like = found.is_meta and num_bytes == found.untyped_storage().nbytes()
        return shape_of(found) if is_like else ()
    if isinstance(found, tuple) and all(one is None or isinstance(one, Tensor) for one in found):
        forms = tuple(None if one is None else form_of(one) for one in found)
        return () if () in forms else (forms,)
    return ()


def made_like(form: Form) -> Any:
    if len(form) == 1:
        return tuple(None if one is None else made_like(one) for one in form[0])
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
