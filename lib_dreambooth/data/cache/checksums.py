"""A quick sum over an entry's bytes that tells damage: cut-off, zeroed, swapped or flipped bits on a disk."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# A prime, so that blocks of a disk that change places do not end up under the same columns.
ROW_WORDS = 251


def checksum(tensors: Mapping[str, Tensor], data: Tensor | None = None) -> str:
    """8 hexadecimal digits for named tensors, about as fast as memory is read.

    `data` are their bytes in the order of their names, where they lie in one piece. The CRC is of sums of
    columns of 64-bit words: no defence against intent; a disk has none.
    """
    names = sorted(tensors)
    if data is None:
        flat = [tensors[name].contiguous().view(-1).view(torch.uint8) for name in names]
        data = torch.cat(flat) if len(flat) > 1 else flat[0]
    said = " ".join([f"{name} {tensors[name].numel()}" for name in names]).encode()
    return f"{zlib.crc32(said + column_sums(data)):08x}"


def column_sums(data: Tensor) -> bytes:
    """The words of a table of bytes summed up by columns, and the bytes that fill no word."""
    bytes_ = data.numpy()
    words = bytes_[: len(bytes_) // 8 * 8]
    if data.data_ptr() % 8:
        words = words.copy()
    words = words.view(np.uint64)
    whole = len(words) // ROW_WORDS * ROW_WORDS
    sums = np.add.reduce(words[:whole].reshape(-1, ROW_WORDS), axis=0)
    sums[: len(words) - whole] += words[whole:]
    return sums.tobytes() + bytes_[len(words) * 8 :].tobytes()
