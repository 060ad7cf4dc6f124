"""Sizes that the UNet cannot halve evenly, as the WebUI treats them.

Its UNet doubles, convolves, and cuts the result to the size of the level above; diffusers' one resizes first
and convolves then, which gives other edges.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


@contextlib.contextmanager
def cutting_upsamplers(unet: nn.Module) -> Iterator[None]:
    """While open, the UNet's upsamplers cut after the convolution."""
    asked: dict[nn.Module, Any] = {}

    def take_size(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        asked[module] = kwargs.pop("output_size", args[1] if len(args) > 1 else None)
        return args[:1], kwargs

    def cut(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        size = asked.pop(module)
        return output if size is None else output[..., : size[0], : size[1]]

    upsamplers = [module for module in unet.modules() if type(module).__name__ == "Upsample2D"]
    handles: list[Any] = []
    for module in upsamplers:
        handles.append(module.register_forward_pre_hook(take_size, with_kwargs=True))
        handles.append(module.register_forward_hook(cut))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
