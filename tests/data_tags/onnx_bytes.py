"""A tiny ONNX model written byte by byte, so that the tagger is tested without a download and without `onnx`.

The graph averages the picture's channels, multiplies them by a matrix and squashes: one number per tag.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

FLOAT = 1
ATTRIBUTE_INT, ATTRIBUTE_INTS = 2, 7


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return field(5, field(1, name) + field(3, value) + field(20, ATTRIBUTE_INT))
    values = b"".join(field(8, item) for item in value)
    return field(5, field(1, name) + values + field(20, ATTRIBUTE_INTS))


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: bytes = b"") -> bytes:
    names = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs)
    return field(1, names + field(4, kind) + attributes)


def tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(field(1, size) for size in values.shape)
    raw = struct.pack(f"<{values.size}f", *values.ravel().tolist())
    return field(5, dims + field(2, FLOAT) + field(8, name) + field(9, raw))


def value_info(number: int, name: str, shape: Sequence[int | str]) -> bytes:
    sizes = [field(1, size) if isinstance(size, int) else field(2, size) for size in shape]
    dims = b"".join(field(1, size) for size in sizes)
    kind = field(1, field(1, FLOAT) + field(2, dims))
    return field(number, field(1, name) + field(2, kind))


def tagger_model(
    weights: np.ndarray,
    bias: np.ndarray,
    shape: Sequence[int | str] = ("batch", 32, 32, 3),
    with_features: bool = False,
) -> bytes:
    """A model for pictures of `shape` with `weights` (3 x tags) and `bias` (tags)."""
    axes = [1, 2] if shape[3] == 3 else [2, 3]
    count = weights.shape[1]
    graph = b"".join(
        [
            node("ReduceMean", ["pixels"], ["mean"], attribute("axes", axes) + attribute("keepdims", 0)),
            node("Gemm", ["mean", "weights", "bias"], ["logits"]),
            node("Sigmoid", ["logits"], ["tags"]),
            field(2, "tagger"),
            tensor("weights", weights),
            tensor("bias", bias),
            value_info(11, "pixels", shape),
            value_info(12, "mean", (shape[0], 3)) if with_features else b"",
            value_info(12, "tags", (shape[0], count)),
        ]
    )
    opset = field(1, "") + field(2, 13)
    return field(1, 8) + field(7, graph) + field(8, opset)
