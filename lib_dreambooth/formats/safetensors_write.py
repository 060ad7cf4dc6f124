"""Writing safetensors: header first, then one tensor after the other, so that no second copy is in memory.

The bytes are those of the library's own writer (same order, same padding): hashes over them agree.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import replacing
from lib_dreambooth.formats.entries import DTYPE_NAMES

HEADER_ALIGNMENT = 8
# Gathers small tensors; larger ones go past the buffer.
WRITE_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class Pending:
    """A tensor that is made when its turn to be written comes."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    load: Callable[[], Tensor]

    @property
    def num_bytes(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count * self.dtype.itemsize


def pending(tensor: Tensor, dtype: torch.dtype | None = None) -> Pending:
    """A tensor at hand, cast only when it is written."""
    target = dtype or tensor.dtype
    return Pending(target, tuple(tensor.shape), lambda: tensor.detach().to("cpu", target))


def write_safetensors(
    path: Path | str, tensors: Mapping[str, Tensor | Pending], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes the file whole or not at all; a full disk leaves an old file of that name as it was."""
    path = Path(path)
    chunks = serialize(tensors, metadata)
    check_free_space(path, chunks.num_bytes)
    with replacing(path) as temporary, temporary.open("wb", buffering=WRITE_BUFFER_BYTES) as file:
        for chunk in chunks:
            write_fully(file, chunk)


@dataclass(frozen=True)
class Serialized:
    """A safetensors file as chunks of bytes: the header first, then each tensor."""

    header: bytes
    ordered: tuple[tuple[str, Pending], ...]

    @property
    def num_bytes(self) -> int:
        return len(self.header) + sum(tensor.num_bytes for _, tensor in self.ordered)

    def __iter__(self) -> Iterator[memoryview]:
        yield memoryview(self.header)
        for key, tensor in self.ordered:
            yield _bytes(key, tensor)


def serialize(
    tensors: Mapping[str, Tensor | Pending], metadata: Mapping[str, str] | None = None
) -> Serialized:
    """Puts the tensors in order; nothing is loaded before the chunks are asked for."""
    waiting = {key: value if isinstance(value, Pending) else pending(value) for key, value in tensors.items()}
    rank = {dtype: index for index, dtype in enumerate(DTYPE_NAMES)}
    for key, tensor in waiting.items():
        assert tensor.dtype in rank, f"{key}: safetensors has no {tensor.dtype}"
    ordered = sorted(waiting.items(), key=lambda item: (-rank[item[1].dtype], item[0].encode("utf-8")))
    header: dict[str, object] = {}
    if metadata:
        header["__metadata__"] = {key: metadata[key] for key in sorted(metadata)}
    offset = 0
    for key, tensor in ordered:
        end = offset + tensor.num_bytes
        header[key] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    return Serialized(struct.pack("<Q", len(text)) + text, tuple(ordered))


def write_fully(file: BinaryIO, chunk: memoryview) -> None:
    """Writes all bytes; one call of the system takes at most 2 GB."""
    done = 0
    while done < len(chunk):
        done += file.write(chunk[done:])


def check_free_space(path: Path, num_bytes: int) -> None:
    """Refuses before anything is written when the disk cannot hold the file."""
    try:
        folder = next(parent for parent in path.absolute().parents if parent.is_dir())
        free = shutil.disk_usage(folder).free
    except (OSError, StopIteration):
        # The writing itself will say what is wrong with this place.
        return
    if free < num_bytes:
        raise FileError(
            f"the disk has {free / 1e9:.1f} GB free and the file needs {num_bytes / 1e9:.1f} GB.",
            where=str(path),
            todo="Free some space and save again.",
            code="disk-full",
        )


def _bytes(key: str, waiting: Pending) -> memoryview:
    tensor = waiting.load()
    assert tuple(tensor.shape) == waiting.shape, f"{key}: {tuple(tensor.shape)} in place of {waiting.shape}"
    assert tensor.dtype == waiting.dtype, f"{key}: {tensor.dtype} in place of {waiting.dtype}"
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
