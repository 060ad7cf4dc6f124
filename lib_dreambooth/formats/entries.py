"""Where one tensor lies in a file, and how it comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from lib_dreambooth.formats.refusals import damaged

# More than any model has, and small enough that no product of sizes leaves 64 bits unnoticed.
MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**48

# safetensors' names, in the order in which its writer sorts them from last to first. Names that this torch
# does not know are left out: such files are refused by name.
_NAMES = (
    ("BOOL", "bool"),
    ("U8", "uint8"),
    ("I8", "int8"),
    ("F8_E5M2", "float8_e5m2"),
    ("F8_E4M3", "float8_e4m3fn"),
    ("I16", "int16"),
    ("U16", "uint16"),
    ("F16", "float16"),
    ("BF16", "bfloat16"),
    ("I32", "int32"),
    ("U32", "uint32"),
    ("F32", "float32"),
    ("F64", "float64"),
    ("I64", "int64"),
    ("U64", "uint64"),
)
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, at) for name, at in _NAMES if hasattr(torch, at)}
DTYPE_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor in a file; `offset` counts bytes from the file's start."""

    path: Path
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] | None = None

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes that have to be read; more than the tensor's own where it is a strided view."""
        if self.stride is None or self.num_elements == 0:
            span = self.num_elements
        else:
            span = 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return span * self.dtype.itemsize


def sane_shape(shape: Sequence[Any]) -> bool:
    """Whether a shape from a file can belong to a tensor."""
    if len(shape) > MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        return False
    return math.prod(max(size, 1) for size in shape) <= MAX_ELEMENTS


def read_entry(file: BinaryIO, entry: Entry) -> Tensor:
    """Reads one tensor into memory of its own; `file` is the entry's file, opened unbuffered."""
    memory = torch.empty(entry.num_bytes, dtype=torch.uint8, device="cpu")
    return read_entry_into(memory, file, entry).contiguous()


def read_entry_into(memory: Tensor, file: BinaryIO, entry: Entry) -> Tensor:
    """Reads one tensor into the first bytes of `memory`, and gives a view of it."""
    if entry.num_elements == 0:
        return torch.empty(entry.shape, dtype=entry.dtype, device="cpu")
    span = memory[: entry.num_bytes]
    file.seek(entry.offset)
    read_fully(file, span.numpy().data, entry.path)
    flat = span.view(entry.dtype)
    return flat.reshape(entry.shape) if entry.stride is None else flat.as_strided(entry.shape, entry.stride)


def read_fully(file: BinaryIO, buffer: memoryview, path: Path) -> None:
    """Fills the buffer; one call of the system reads at most 2 GB."""
    done = 0
    while done < len(buffer):
        count = file.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not count:
            raise damaged(path, "it ends in the middle of a tensor")
        done += count
