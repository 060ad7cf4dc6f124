"""One view of every container: keys, shapes and types first, tensors when asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.entries import Entry, read_entry, read_entry_into
from lib_dreambooth.formats.folder import folder_metadata, weight_files
from lib_dreambooth.formats.refusals import DOWNLOAD_AGAIN, not_a_model, require_ending, unreadable
from lib_dreambooth.formats.safetensors_read import looks_like_safetensors, read_header
from lib_dreambooth.formats.torch_file import looks_like_torch, read_torch_file

HEAD_BYTES = 512

# What is made of the tensor of a key.
Turned = Callable[[str, Tensor], Tensor]


def _as_it_is(key: str, tensor: Tensor) -> Tensor:
    return tensor


class TensorFile:
    """The tensors of one file or folder. Each read gives memory of its own; nothing stays mapped.

    A context manager: files are opened at the first read and closed at the end of the block.
    """

    def __init__(
        self,
        path: Path,
        entries: Mapping[str, Entry],
        metadata: Mapping[str, str],
        values: Mapping[str, str | int | float],
        size_bytes: int,
        container: str,
    ) -> None:
        self.path = path
        self.entries = dict(entries)
        self.metadata = dict(metadata)
        self.values = dict(values)
        self.size_bytes = size_bytes
        self.container = container
        self._open_files: dict[Path, BinaryIO] = {}

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def keys(self) -> list[str]:
        """All keys, in the file's order."""
        return list(self.entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.entries[key].shape

    def dtype(self, key: str) -> torch.dtype:
        return self.entries[key].dtype

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What detection and layouts are read from."""
        return {key: entry.shape for key, entry in self.entries.items()}

    @property
    def dtypes(self) -> dict[str, torch.dtype]:
        return {key: entry.dtype for key, entry in self.entries.items()}

    def read(self, key: str) -> Tensor:
        """One tensor, on the CPU, in the file's precision."""
        return self.read_by(read_entry, key)

    def read_by(self, how: Callable[[BinaryIO, Entry], Tensor], key: str) -> Tensor:
        """One tensor, read in a way of the caller's; errors become sentences."""
        entry = self.entries[key]
        try:
            return how(self._file(entry.path), entry)
        except OSError as error:
            raise unreadable(entry.path, error) from error
        except (MemoryError, RuntimeError) as error:
            raise FileError(
                f"there is not enough memory for tensor `{key[:80]}` ({entry.num_bytes / 1e9:.2f} GB).",
                where=str(entry.path),
                todo="Close other programs and try again.",
                code="out-of-memory",
            ) from error

    def items(self, keys: Iterable[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Tensors one after the other, in the order in which they lie on the disk."""
        for key in self.in_order(self.entries if keys is None else keys):
            yield key, self.read(key)

    def in_order(self, keys: Iterable[str]) -> list[str]:
        """Keys in the order in which their tensors lie on the disk."""
        return sorted(keys, key=lambda key: (str(self.entries[key].path), self.entries[key].offset))

    @contextlib.contextmanager
    def ahead(
        self, keys: Iterable[str], turned: Turned = _as_it_is, passing: Collection[str] = ()
    ) -> Iterator[Callable[[str], Tensor]]:
        """Reads tensors in a thread, in the order given, while the block does other things.

        Yields a function that hands out, once for each key, what `turned` makes of its tensor. Nothing else
        may read the file meanwhile. Of the `passing` keys all are read into the same memory, because memory
        that was never used costs more than reading: `turned` may keep no view of these.
        """
        memory = _Reused()

        def read(key: str) -> Tensor:
            return turned(key, self.read_by(memory.read if key in passing else read_entry, key))

        with ThreadPoolExecutor(1, "reading") as pool:
            waiting = {key: pool.submit(read, key) for key in keys}
            try:
                yield lambda key: waiting.pop(key).result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def read_all(self, keys: Iterable[str] | None = None) -> dict[str, Tensor]:
        """All tensors (or those named) in one pass over the disk; the peak is one copy of them."""
        return dict(self.items(keys))

    def close(self) -> None:
        for file in self._open_files.values():
            file.close()
        self._open_files.clear()

    def _file(self, path: Path) -> BinaryIO:
        if path not in self._open_files:
            # Unbuffered: tensors are read straight into their own memory.
            self._open_files[path] = path.open("rb", buffering=0)  # type: ignore[assignment]
        return self._open_files[path]


class _Reused:
    """Memory for one tensor after the other; it grows to the largest."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8, device="cpu")

    def read(self, file: BinaryIO, entry: Entry) -> Tensor:
        if len(self._memory) < entry.num_bytes:
            self._memory = torch.empty(entry.num_bytes, dtype=torch.uint8, device="cpu")
        return read_entry_into(self._memory, file, entry)


def open_tensors(path: Path | str) -> TensorFile:
    """Reads the table of a model file or diffusers folder.

    Raises FileError with what is wrong for everything that is not one, or is one under a wrong ending.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _open_folder(path)
        return _open_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        # Python's answer to a zero character in a path.
        raise FileError(
            "is not a path.", where=repr(str(path)), todo="Check it.", code="not-found"
        ) from error


def _open_file(path: Path) -> TensorFile:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(HEAD_BYTES)
        if not head:
            raise FileError(
                "is empty (zero bytes).", where=str(path), todo=DOWNLOAD_AGAIN, code="damaged-file"
            )
        if looks_like_torch(head):
            entries, values = read_torch_file(file, path, size)
            if entries:
                require_ending(path, "torch")
            return TensorFile(path, entries, {}, values, size, "torch")
        if looks_like_safetensors(head):
            entries, metadata = read_header(file, path, size)
            require_ending(path, "safetensors")
            return TensorFile(path, entries, metadata, {}, size, "safetensors")
    raise not_a_model(path, head)


def _open_folder(folder: Path) -> TensorFile:
    entries: dict[str, Entry] = {}
    values: dict[str, str | int | float] = {}
    size = 0
    for prefix, path in weight_files(folder):
        part = _open_file(path)
        entries.update({f"{prefix}{key}": entry for key, entry in part.entries.items()})
        size += part.size_bytes
    return TensorFile(folder, entries, folder_metadata(folder), values, size, "folder")
