"""A UNet's blocks without what changes no number: divisions by one, activations that were computed before.

diffusers' blocks serve many models and ask in every pass which one they are. Here that is asked once. What
comes out is the same to the last bit.
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

ATTENTION, RESIDUAL = "Attention", "ResnetBlock2D"
PLAIN_ATTENTION = "AttnProcessor2_0"
# What an attention must not have to be as short as here.
EXTRAS = (
    "spatial_norm",
    "group_norm",
    "norm_cross",
    "norm_q",
    "norm_k",
    "residual_connection",
    "fused_projections",
)


@contextmanager
def lean(unet: nn.Module) -> Iterator[int]:
    """While inside, passes with gradients go the short way; gives through how many blocks."""
    shared = Activated()
    num_blocks = 0
    with forwards_taken() as take:
        for module in unet.modules():
            if is_plain_attention(module):
                short: Any = functools.partial(attended, module)
            elif is_plain_residual(module):
                short = functools.partial(with_residual, module, shared)
            else:
                continue
            take(module, functools.partial(either, short, module.forward))
            num_blocks += 1
        yield num_blocks


def either(short: Any, plain: Any, *args: Any, **kwargs: Any) -> Any:
    """The short way where gradients are wanted and the block is asked as a UNet of ours asks it."""
    if torch.is_grad_enabled() and not any(kwargs.get(name) is not None for name in OTHER_WISHES):
        return short(*args, **kwargs)
    return plain(*args, **kwargs)


OTHER_WISHES = ("attention_mask", "scale")


def is_plain_attention(module: Any) -> bool:
    """Whether a module is an attention of a UNet as Stable Diffusion has them."""
    if type(module).__name__ != ATTENTION or type(module.processor).__name__ != PLAIN_ATTENTION:
        return False
    has_extra = any(getattr(module, name, None) for name in EXTRAS)
    return not has_extra and module.rescale_output_factor == 1.0 and module.to_k is not None


def is_plain_residual(module: Any) -> bool:
    """Whether a module is a residual block as Stable Diffusion has them."""
    if type(module).__name__ != RESIDUAL or module.time_emb_proj is None:
        return False
    is_plain = module.upsample is None and module.downsample is None and not module.skip_time_act
    is_plain = is_plain and module.time_embedding_norm == "default" and module.output_scale_factor == 1.0
    return is_plain and type(module.nonlinearity) is nn.SiLU and not (module.training and module.dropout.p)


def attended(
    attention: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
) -> Tensor:
    """What an attention gives: PyTorch's own between queries, keys and values."""
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    heads, count = attention.heads, len(hidden_states)
    query = attention.to_q(hidden_states)
    key, value = attention.to_k(context), attention.to_v(context)
    split = [
        one.view(count, -1, heads, one.shape[-1] // heads).transpose(1, 2) for one in (query, key, value)
    ]
    found = F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(query.shape).to(query.dtype)
    given: Tensor = attention.to_out[1](attention.to_out[0](found))
    return given


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
