"""A quick sum over an entry's bytes that tells damage: cut-off, zeroed, swapped or flipped bits on a disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

ROW_WORDS = 256


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """32 hexadecimal digits for named tensors, about as fast as memory is read.

    Only the sums of rows and columns of 64-bit words are hashed. No defence against intent; a disk has none.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        table, rest = as_words(tensors[name])
        digest.update(f"{name} {tensors[name].numel()} ".encode())
        digest.update(table.sum(axis=0, dtype=np.uint64).tobytes())
        digest.update(table.sum(axis=1, dtype=np.uint64).tobytes())
        digest.update(rest)
    return digest.hexdigest()


def as_words(tensor: Tensor) -> tuple[np.ndarray, bytes]:
    """A tensor's bytes as rows of 64-bit words, and those that fill no row."""
    data = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    row = ROW_WORDS * 8
    whole = len(data) // row * row
    table = data[:whole]
    if table.ctypes.data % 8:
        table = table.copy()
    return table.view(np.uint64).reshape(-1, ROW_WORDS), data[whole:].tobytes()
