"""A UNet's residual blocks without activations that were computed before.

All blocks of a pass activate the same embedding of the noise level, each for itself. Here it is done once.
What comes out is the same to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.base.forwards import forwards_taken
from lib_dreambooth.models.unet_layers import ResnetBlock2D


@contextmanager
def lean(unet: nn.Module) -> Iterator[int]:
    """While inside, passes with gradients go the short way; gives through how many blocks."""
    shared = Activated()
    num_blocks = 0
    with forwards_taken() as take:
        for module in unet.modules():
            if isinstance(module, ResnetBlock2D) and module.time_emb_proj is not None:
                short: Any = functools.partial(with_residual, module, shared)
                take(module, functools.partial(either, short, module.forward))
                num_blocks += 1
        yield num_blocks


def either(short: Any, plain: Any, *args: Any, **kwargs: Any) -> Any:
    """The short way where gradients are wanted."""
    return (short if torch.is_grad_enabled() else plain)(*args, **kwargs)


def with_residual(block: Any, shared: Activated, input_tensor: Tensor, temb: Tensor) -> Tensor:
    """What a residual block gives."""
    hidden = block.conv1(F.silu(block.norm1(input_tensor)))
    hidden = hidden + block.time_emb_proj(shared.of(temb))[:, :, None, None]
    hidden = block.conv2(F.silu(block.norm2(hidden)))
    shortcut: Tensor = input_tensor if block.conv_shortcut is None else block.conv_shortcut(input_tensor)
    return shortcut + hidden


class Activated:
    """The activation of a noise level's embedding, which all blocks of a pass are given alike."""

    def __init__(self) -> None:
        self._asked: Tensor | None = None
        self._found: Tensor | None = None

    def of(self, embedding: Tensor) -> Tensor:
        """Computed once, where it is no part of what is learned: else each block needs its own to go back."""
        if embedding.requires_grad:
            return F.silu(embedding)
        if self._asked is not embedding or self._found is None:
            self._asked, self._found = embedding, F.silu(embedding)
        return self._found
