"""Finding tensors with values that are not numbers, at about the speed of memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lib_dreambooth.formats.container import TensorFile

# Integers of the same width, signed and unsigned, and the bits of +infinity. As signed numbers the positive
# infinities and NaNs are the largest; as unsigned ones the negative are. So two maxima find both.
_VIEWS: dict[torch.dtype, tuple[torch.dtype, type, type, int]] = {
    torch.float16: (torch.int16, np.int16, np.uint16, 0x7C00),
    torch.bfloat16: (torch.int16, np.int16, np.uint16, 0x7F80),
    torch.float32: (torch.int32, np.int32, np.uint32, 0x7F80_0000),
    torch.float64: (torch.int64, np.int64, np.uint64, 0x7FF0_0000_0000_0000),
}


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are numbers; always true for integers."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    if tensor.dtype not in _VIEWS or tensor.device.type != "cpu":
        return bool(torch.isfinite(tensor.float()).all())
    integer, signed, unsigned, infinity = _VIEWS[tensor.dtype]
    bits = tensor.detach().contiguous().view(integer).numpy()
    sign = 1 << (8 * bits.itemsize - 1)
    return int(bits.view(signed).max()) < infinity and int(bits.view(unsigned).max()) < sign + infinity


def nonfinite_keys(file: TensorFile, keys: Iterable[str] | None = None) -> list[str]:
    """Keys of tensors with NaN or infinity, read one after the other so that memory holds one at a time."""
    return [key for key, tensor in file.items(keys) if not is_finite(tensor)]
