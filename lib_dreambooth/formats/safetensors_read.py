"""The safetensors container: the header alone says where every tensor lies.

The library's own reader maps the file, which keeps it open on Windows, and hosts replace its `load_file`
by one that renames the user's file when anything fails. So the header is read here.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.entries import DTYPES, Entry, sane_shape
from lib_dreambooth.formats.refusals import damaged, is_text

LENGTH_BYTES = 8
# The reference implementation refuses longer ones too.
MAX_HEADER_BYTES = 100_000_000


def looks_like_safetensors(head: bytes) -> bool:
    """Whether the first bytes are a header length and the start of a JSON object."""
    # Eight letters would be a length of exabytes.
    return head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and not is_text(head[:LENGTH_BYTES])


def read_header(file: BinaryIO, path: Path, file_size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """Entries by key, in the file's order of tensors, and the metadata."""
    header, data_start = _parse(file, path, file_size)
    metadata = _metadata(header.pop("__metadata__", None))
    entries: dict[str, Entry] = {}
    end = data_start
    for key, info in sorted(header.items(), key=lambda item: _begin(item[1])):
        entry = _entry(path, key, info, data_start)
        if entry.offset < end:
            raise damaged(path, f"tensor `{_short(key)}` overlaps another one")
        end = entry.offset + entry.num_bytes
        entries[key] = entry
    if end > file_size:
        raise damaged(path, f"it should have {end:,} bytes and has {file_size:,}")
    return entries, metadata


def _parse(file: BinaryIO, path: Path, file_size: int) -> tuple[dict[str, Any], int]:
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(LENGTH_BYTES).ljust(LENGTH_BYTES, b"\0"))
    if length > MAX_HEADER_BYTES:
        raise damaged(path, f"its header claims to be {length:,} bytes long")
    if LENGTH_BYTES + length > file_size:
        raise damaged(path, f"its header of {length:,} bytes is longer than the file ({file_size:,} bytes)")
    try:
        header = json.loads(file.read(length).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, "its header is not readable as JSON") from error
    if not isinstance(header, dict):
        raise damaged(path, "its header is not a table of tensors")
    return header, LENGTH_BYTES + length


def _entry(path: Path, key: str, info: Any, data_start: int) -> Entry:
    begin, end = _begin(info), _end(info)
    shape = info.get("shape") if isinstance(info, dict) else None
    if begin < 0 or end < begin or not isinstance(shape, list) or not sane_shape(shape):
        raise damaged(path, f"the entry of tensor `{_short(key)}` makes no sense")
    if not _encodes(key):
        raise damaged(path, "a tensor's name is not valid text")
    dtype = DTYPES.get(str(info.get("dtype")))
    if dtype is None:
        name = _short(str(info.get("dtype")))
        raise FileError(
            f"tensor `{_short(key)}` has the type `{name}`, which cannot be read here.",
            where=str(path),
            todo="Choose a file in fp16, bf16 or fp32.",
            code="unknown-dtype",
        )
    entry = Entry(path, data_start + begin, dtype, tuple(shape))
    if entry.num_bytes != end - begin:
        raise damaged(
            path, f"tensor `{_short(key)}` has {end - begin:,} bytes in place of {entry.num_bytes:,}"
        )
    return entry


def _begin(info: Any) -> int:
    return _offsets(info)[0]


def _end(info: Any) -> int:
    return _offsets(info)[1]


def _offsets(info: Any) -> tuple[int, int]:
    """Begin and end, or -1 and -1 where the entry has none."""
    offsets = info.get("data_offsets") if isinstance(info, dict) else None
    if isinstance(offsets, list) and len(offsets) == 2 and all(type(value) is int for value in offsets):
        return offsets[0], offsets[1]
    return -1, -1


def _metadata(found: Any) -> dict[str, str]:
    """All values as text; other writers leave numbers and lists in it."""
    if not isinstance(found, dict):
        return {}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}
    return {_clean(key): _clean(value) for key, value in texts.items()}


def _encodes(text: str) -> bool:
    return _clean(text) == text


def _clean(text: str) -> str:
    """Without lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _short(text: str) -> str:
    return _clean(text if len(text) <= 80 else text[:77] + "...")
