"""What operations take beside their inputs and outputs while they run, by the kind of device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lib_dreambooth.forecast.meter import Extra

# PyTorch's allocator for cards gives memory in multiples of so many bytes.
GRAINS = {"cuda": 512}


def workspaces(kind: str) -> Mapping[str, Extra]:
    """By the operation's name."""
    return _CPU if kind == "cpu" else {}


def _convolution(args: tuple[Any, ...], found: Tensor) -> int:
    """CPUs lay out what goes in and the weight anew (measured; 1x1 needs none of it)."""
    pixels, weight = args[0], args[1]
    return 0 if _is_pointwise(weight) else _bytes(pixels) + _bytes(weight)


def _convolution_backward(args: tuple[Any, ...], found: Any) -> int:
    gradient, pixels, weight = args[:3]
    if _is_pointwise(weight):
        return 0
    learns = bool(args[-1][1])
    return _bytes(gradient) + _bytes(weight) + (_bytes(pixels) if learns else 0)


def _is_pointwise(weight: Tensor) -> bool:
    return weight.shape[2:].numel() == 1


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


_CPU: Mapping[str, Extra] = {"convolution": _convolution, "convolution_backward": _convolution_backward}
