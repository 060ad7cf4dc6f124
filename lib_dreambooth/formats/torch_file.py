"""Files of `torch.save`: where each tensor lies, found without loading or running anything.

Two containers exist: a zip archive (since torch 1.6) whose members are not compressed, and the older form of
pickles in a row with the raw storages behind them. Both give the same entries as safetensors does.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.entries import Entry
from lib_dreambooth.formats.pickle_machine import (
    MAX_BYTES,
    Known,
    PickleBroken,
    PickleRefused,
)
from lib_dreambooth.formats.refusals import damaged
from lib_dreambooth.formats.torch_values import Storage, Stored, machine_for

ZIP_HEAD = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LOCAL_HEADER_BYTES = 30

# Wrappers around the table of tensors, in the order in which they are opened.
WRAPPERS = ("state_dict", "module", "model_state_dict", "model")
MAX_DEPTH = 6
# An expanded tensor is larger than what lies in the file; a few small ones are real, huge ones a trap.
MAX_EXPANDED_ELEMENTS = 2**20


def looks_like_torch(head: bytes) -> bool:
    """Whether the first bytes are a zip archive's or a pickle's of protocol 2 or later."""
    return head.startswith(ZIP_HEAD) or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05")


def read_torch_file(
    file: BinaryIO, path: Path, file_size: int
) -> tuple[dict[str, Entry], dict[str, str | int | float]]:
    """Entries by key (nested tables joined by dots) and the plain values beside them."""
    try:
        read = _read_zip if _head(file).startswith(ZIP_HEAD) else _read_legacy
        tree, places = read(file, path, file_size)
    except PickleRefused as error:
        raise FileError(
            f"holds `{error.name}`, which is not a tensor and could run a program; nothing of it was run.",
            where=str(path),
            todo="Choose the .safetensors form of this model, or another model.",
            code="unsafe-pickle",
        ) from error
    except PickleBroken as error:
        raise damaged(path, f"its table of tensors cannot be read: {error}") from error
    entries: dict[str, Entry] = {}
    values: dict[str, str | int | float] = {}
    for key, leaf in _leaves(_unwrap(tree)):
        if isinstance(leaf, Stored):
            entries[key] = _entry(path, key, leaf, places)
        elif isinstance(leaf, str | int | float) and not isinstance(leaf, bool):
            values[key] = leaf
    return entries, values


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(4)


def _read_zip(file: BinaryIO, path: Path, file_size: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The tree and, by storage key, the byte range of each member."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
        table = next((name for name in members if name.endswith("data.pkl")), None)
        if table is None:
            raise FileError(
                "is a zip archive without a model in PyTorch's form.",
                where=str(path),
                todo="Unpack it and choose the model inside.",
                code="not-a-model",
            )
        root = table.removesuffix("data.pkl")
        places = {
            name.removeprefix(f"{root}data/"): _place(file, path, info, file_size)
            for name, info in members.items()
            if name.startswith(f"{root}data/")
        }
        start, end = _place(file, path, members[table], file_size)
        order = members.get(f"{root}byteorder")
        if order is not None and _slice(file, *_place(file, path, order, file_size)) == b"big":
            raise damaged(path, "it was written on a machine with the other byte order")
    except (
        zipfile.BadZipFile,
        ValueError,
        OverflowError,
        NotImplementedError,
        EOFError,
        struct.error,
    ) as error:
        raise damaged(path, "its zip directory cannot be read") from error
    if end - start > MAX_BYTES:
        raise PickleBroken("it is longer than any model's")
    return machine_for(io.BytesIO(_slice(file, start, end))).load(), places


def _place(file: BinaryIO, path: Path, info: zipfile.ZipInfo, file_size: int) -> tuple[int, int]:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise damaged(path, f"`{info.filename[:80]}` in it is compressed, which PyTorch does not do")
    file.seek(info.header_offset)
    name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(LOCAL_HEADER_BYTES))
    start = info.header_offset + LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    end = start + info.file_size
    if end > file_size:
        raise damaged(path, f"`{info.filename[:80]}` in it reaches beyond the end of the file")
    return start, end


def _slice(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(min(end - start, MAX_BYTES))


def _read_legacy(file: BinaryIO, path: Path, file_size: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    file.seek(0)
    if machine_for(file).load() != LEGACY_MAGIC:
        raise FileError(
            "is a pickle, but not one that PyTorch wrote.",
            where=str(path),
            todo="Choose a .safetensors or .ckpt file.",
            code="not-a-model",
        )
    _version, _system = machine_for(file).load(), machine_for(file).load()
    storages: dict[str, Storage] = {}
    tree = machine_for(file, storages).load()
    keys = machine_for(file).load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise PickleBroken("the list of storages is missing")
    return tree, dict(_legacy_places(file, path, file_size, keys, storages))


def _legacy_places(
    file: BinaryIO, path: Path, file_size: int, keys: list[str], storages: dict[str, Storage]
) -> Iterator[tuple[str, tuple[int, int]]]:
    position = file.tell()
    for key in keys:
        file.seek(position)
        count = int.from_bytes(file.read(8), "little")
        storage = storages.get(key)
        if storage is None or count != storage.num_elements:
            raise damaged(path, "its storages do not fit its table of tensors")
        start = position + 8
        position = start + count * storage.dtype.itemsize
        if position > file_size:
            raise damaged(path, f"it should have at least {position:,} bytes and has {file_size:,}")
        yield key, (start, position)


def _entry(path: Path, key: str, stored: Stored, places: dict[str, tuple[int, int]]) -> Entry:
    start, end = places.get(stored.storage.key, (0, -1))
    offset = start + stored.offset * stored.dtype.itemsize
    stride = None if stored.stride == _contiguous(stored.shape) else stored.stride
    entry = Entry(path, offset, stored.dtype, stored.shape, stride)
    if end < start or offset + entry.num_bytes > end:
        raise damaged(path, f"the numbers of tensor `{key[:80]}` are missing")
    if entry.num_elements > max(entry.num_bytes // stored.dtype.itemsize, MAX_EXPANDED_ELEMENTS):
        raise damaged(path, f"tensor `{key[:80]}` claims to be far larger than its numbers")
    return entry


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _unwrap(tree: Any) -> Any:
    """The table of tensors inside the wrappers that trainers put around it."""
    for _ in range(MAX_DEPTH):
        if not isinstance(tree, dict) or any(isinstance(value, Stored) for value in tree.values()):
            return tree
        inner = next((tree[name] for name in WRAPPERS if isinstance(tree.get(name), dict)), None)
        if inner is None:
            return tree
        tree = inner
    return tree


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf with its path; a container met twice counts once, which bounds a bomb."""
    seen: set[int] = set()

    def walk(prefix: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
        items: Iterable[tuple[Any, Any]]
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list | tuple):
            items = enumerate(value)
        else:
            yield prefix, value
            return
        if depth > MAX_DEPTH or id(value) in seen:
            return
        seen.add(id(value))
        for key, inner in items:
            name = key.name if isinstance(key, Known) else str(key)
            yield from walk(f"{prefix}.{name}" if prefix else name, inner, depth + 1)

    yield from walk("", tree, 0)
