"""Where entries are kept: in memory, or in safetensors files that are never changed once written.

There is no list of files beside them: a file's own header says what is in it. So two runs can share a folder
without locks; each adds files of its own, and what both have written is the same bytes twice.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.cache.checksums import checksum
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.formats.entries import Entry, read_entry
from lib_dreambooth.formats.safetensors_read import read_header
from lib_dreambooth.formats.safetensors_write import write_safetensors

Tensors = dict[str, Tensor]
# Name, offset in the file, type and shape.
Part = tuple[str, int, torch.dtype, tuple[int, ...]]
SUMS = "checksums"
ENDING = ".safetensors"
# What a killed run may leave behind; younger ones may be another run's, at work.
STALE_S = 24 * 3600
FILES_OPEN = 16
# A file is written whenever this much is waiting: small, so that a stop loses little.
FILE_BYTES = 32 * 1024 * 1024


class Store(Protocol):
    """Entries by key. `read` gives None for what is not there or is damaged."""

    def __contains__(self, key: str) -> bool: ...

    def read(self, key: str) -> Tensors | None: ...

    def write(self, entries: Mapping[str, Tensors]) -> None: ...

    def drop(self, key: str) -> None: ...

    @property
    def num_bytes(self) -> int: ...


class MemoryStore:
    """Entries in memory, for this run alone."""

    def __init__(self) -> None:
        self._entries: dict[str, Tensors] = {}
        self._num_bytes = 0

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def read(self, key: str) -> Tensors | None:
        return self._entries.get(key)

    def write(self, entries: Mapping[str, Tensors]) -> None:
        for key, tensors in entries.items():
            self.drop(key)
            self._entries[key] = dict(tensors)
            self._num_bytes += size_of(tensors)

    def drop(self, key: str) -> None:
        self._num_bytes -= size_of(self._entries.pop(key, {}))

    def keep_only(self, keys: Collection[str]) -> None:
        """Forgets every other entry."""
        for key in self._entries.keys() - set(keys):
            self.drop(key)

    @property
    def num_bytes(self) -> int:
        return self._num_bytes


class Waiting:
    """Entries on their way into a store, which gets a file's worth at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._entries: dict[str, Tensors] = {}
        self._num_bytes = 0

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def add(self, entries: Mapping[str, Tensors]) -> None:
        """Takes entries that were not there, and writes when a file is full."""
        self._entries.update(entries)
        # Counted as they come: there may be ten thousand of them.
        self._num_bytes += sum(map(size_of, entries.values()))
        if self._num_bytes >= FILE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting."""
        entries, self._entries, self._num_bytes = self._entries, {}, 0
        self.store.write(entries)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry lies: its tensors, what their bytes sum up to, and where all can be read at once."""

    path: Path
    parts: tuple[Part, ...]
    checksum: str
    span: Entry | None


class DiskStore:
    """Entries in the files of one folder, which is made when first written to.

    An entry is compared with its checksum when it is first read; without `checks` never. A few files stay
    open for reading until `close`.
    """

    def __init__(self, folder: Path, checks: bool = True) -> None:
        self.folder = folder
        self._checks = checks
        self._lock = threading.Lock()
        self._places: dict[str, Place] = {}
        self._checked: set[str] = set()
        self._copies: dict[str, list[Place]] = {}
        self._sizes: dict[Path, int] = {}
        self._open: dict[Path, BinaryIO] = {}
        for path in sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else []:
            self._add_file(path)
        self._clear_remains()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def read(self, key: str) -> Tensors | None:
        while key in self._places:
            place = self._places[key]
            with contextlib.suppress(OSError, FileError):
                tensors, data = self._read(place)
                if not self._checks or key in self._checked:
                    return tensors
                if checksum(tensors, data) == place.checksum:
                    self._checked.add(key)
                    return tensors
            self._fall_back(key, place)
        return None

    def write(self, entries: Mapping[str, Tensors]) -> None:
        """Adds one file; its name follows from what is in it."""
        if not entries:
            return
        tensors = {f"{key}.{name}": t for key, named in entries.items() for name, t in named.items()}
        sums = json.dumps({key: checksum(dict(named)) for key, named in entries.items()})
        path = self.folder / f"{digest(sorted(entries))}{ENDING}"
        write_safetensors(path, tensors, {SUMS: sums})
        with self._lock:
            self._add_file(path)

    def drop(self, key: str) -> None:
        """Forgets an entry, so that it is made anew; its bytes go when their file does."""
        with self._lock:
            self._places.pop(key, None)
            self._checked.discard(key)
            self._copies.pop(key, None)

    def close(self) -> None:
        """Closes the files that are open for reading; the next read opens them again."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()

    @property
    def num_bytes(self) -> int:
        return sum(self._sizes.values())

    def bound(self, max_bytes: float, keep: Collection[str] = ()) -> int:
        """Removes the files that were unused for longest until the rest fits; gives the bytes freed.

        Files that hold any entry of `keep` stay, and are marked as used now.
        """
        needed = {self._places[key].path for key in keep if key in self._places}
        for path in needed:
            with contextlib.suppress(OSError):
                os.utime(path)
        freed = 0
        for path in sorted(self._sizes.keys() - needed, key=used_at):
            if self.num_bytes <= max_bytes:
                break
            freed += self._remove_file(path)
        return freed

    def _fall_back(self, key: str, damaged: Place) -> None:
        """Takes the next file that has the entry: another run may have written it, or healed it."""
        with self._lock:
            self._checked.discard(key)
            if self._places.get(key) is damaged:
                copies = self._copies.get(key)
                if copies:
                    self._places[key] = copies.pop()
                else:
                    del self._places[key]

    def _add_file(self, path: Path) -> None:
        """Learns what a file holds; one that is damaged is of no use to anybody and is removed."""
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                entries, metadata = read_header(file, path, size)
            places = places_in(path, entries, json.loads(metadata[SUMS]))
        except OSError:
            return
        except (FileError, ValueError, KeyError, TypeError):
            with contextlib.suppress(OSError):
                path.unlink()
            return
        for key, place in places.items():
            if key in self._places and self._places[key].path != path:
                self._copies.setdefault(key, []).append(place)
            else:
                self._places[key] = place
        self._sizes[path] = size

    def _read(self, place: Place) -> tuple[Tensors, Tensor | None]:
        """An entry's tensors, and their bytes where they were read in one piece."""
        with self._lock:
            if place.path not in self._open:
                if len(self._open) >= FILES_OPEN:
                    self._open.pop(next(iter(self._open))).close()
                # Unbuffered: tensors are read straight into their own memory.
                self._open[place.path] = place.path.open("rb", buffering=0)  # type: ignore[assignment]
            file = self._open[place.path]
            if place.span is None:
                return {
                    name: read_entry(file, Entry(place.path, offset, dtype, shape))
                    for name, offset, dtype, shape in place.parts
                }, None
            data = read_entry(file, place.span)
        if len(place.parts) == 1:
            return {place.parts[0][0]: data}, None
        return split(data, place.parts), data

    def _remove_file(self, path: Path) -> int:
        self.close()
        with self._lock:
            size = self._sizes.pop(path)
        for key, place in [pair for pair in self._places.items() if pair[1].path == path]:
            self._fall_back(key, place)
        try:
            path.unlink(missing_ok=True)
        except OSError:
            # Another run reads it just now (Windows); it goes next time.
            return 0
        return size

    def _clear_remains(self) -> None:
        for path in self.folder.glob(".*.tmp") if self.folder.is_dir() else []:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()


def places_in(path: Path, entries: Mapping[str, Entry], sums: Mapping[str, str]) -> dict[str, Place]:
    """What a file holds, by key. Equal shapes are one object: there may be ten thousand of them."""
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
    parts: dict[str, list[Part]] = {}
    for name, entry in entries.items():
        key, _, part = name.partition(".")
        shape = shapes.setdefault(entry.shape, entry.shape)
        parts.setdefault(key, []).append((sys.intern(part), entry.offset, entry.dtype, shape))
    return {key: Place(path, tuple(found), sums[key], one_span(path, found)) for key, found in parts.items()}


def one_span(path: Path, parts: Sequence[Part]) -> Entry | None:
    """One tensor as it is, or all bytes of several that lie one after the other in order of name."""
    offset = start = parts[0][1]
    if len(parts) == 1:
        return Entry(path, *parts[0][1:])
    for (name, begin, dtype, shape), after in zip(parts, [*parts[1:], None], strict=True):
        is_in_order = after is None or name < after[0]
        if begin != offset or not is_in_order or (begin - start) % dtype.itemsize:
            return None
        offset += math.prod(shape) * dtype.itemsize
    return Entry(path, start, torch.uint8, (offset - start,)) if offset > start else None


def split(data: Tensor, parts: Sequence[Part]) -> Tensors:
    """The tensors whose bytes lie one after the other; they share the memory."""
    pieces = torch.split_with_sizes(data, [math.prod(shape) * dtype.itemsize for _, _, dtype, shape in parts])
    return {
        name: piece.view(dtype).view(shape)
        for (name, _, dtype, shape), piece in zip(parts, pieces, strict=True)
    }


def used_at(path: Path) -> float:
    """When a file was last used; 0 where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def size_of(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of some tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
