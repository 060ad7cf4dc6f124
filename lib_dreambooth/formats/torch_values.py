"""What the pickles of `torch.save` stand for: storages and the tensors that are views of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from lib_dreambooth.formats.entries import sane_shape
from lib_dreambooth.formats.pickle_machine import Inert, Known, Module, PickleBroken, PickleMachine

STORAGES: dict[str, torch.dtype] = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.BoolStorage": torch.bool,
    "torch.UntypedStorage": torch.uint8,
    "torch.storage.UntypedStorage": torch.uint8,
}
TABLES = ("collections.OrderedDict", "builtins.dict", "__builtin__.dict", "collections.defaultdict")

# What textual inversion's first script kept its vectors in.
MODULE_TABLE = "torch.nn.modules.container.ParameterDict"


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file."""

    key: str
    dtype: torch.dtype
    num_elements: int


@dataclass(frozen=True)
class Stored:
    """A tensor as a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


def machine_for(file: BinaryIO, storages: dict[str, Storage] | None = None) -> PickleMachine:
    """A machine at the file's position; `storages` takes those that the pickle names."""

    def persistent(identity: Any) -> Storage | Known:
        if identity[0] == "module" and isinstance(identity[1], Known):
            # The older form names a module's class so, with its source text.
            return identity[1]
        kind, storage_type, key, _location, count = identity[:5]
        if kind != "storage" or not isinstance(storage_type, Known) or storage_type.name not in STORAGES:
            raise PickleBroken("a storage is of no known type")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise PickleBroken("a storage has no size")
        if len(identity) > 5 and identity[5] is not None:
            raise PickleBroken("a storage is a view of another one, which only torch before 0.4 wrote")
        storage = Storage(key, STORAGES[storage_type.name], count)
        if storages is not None:
            storages[key] = storage
        return storage

    return PickleMachine(file, _call, persistent)


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a call of a known name stands for; only tensors and tables matter."""
    if name.startswith("torch._utils._rebuild_parameter"):
        return arguments[0]
    if name.startswith("torch._utils._rebuild_tensor"):
        return _stored(name, arguments)
    if name in TABLES:
        pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
        return {pair[0]: pair[1] for pair in pairs if isinstance(pair[0], str)}
    if name == MODULE_TABLE:
        return Module()
    if name == "torch.Size":
        return arguments[0]
    return Inert(name)


def _stored(name: str, arguments: tuple[Any, ...]) -> Stored:
    storage, offset, shape, stride = arguments[:4]
    dtype = storage.dtype
    if name.endswith("_v3"):
        dtype = getattr(torch, arguments[6].name.removeprefix("torch."), None)
        if not isinstance(dtype, torch.dtype):
            raise PickleBroken("a tensor is of no known type")
    sizes_ok = isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride)
    if not sizes_ok or not sane_shape(shape) or not sane_shape(stride) or not sane_shape((offset,)):
        raise PickleBroken("a tensor's shape makes no sense")
    return Stored(storage, offset, shape, stride, dtype)
