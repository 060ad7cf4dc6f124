"""What a UNet and a VAE are made of: residual blocks, attention, transformers.

Written out in the words of diffusers, whose names of modules and order of parameters every file and every
LoRA goes by, and whose results these give to the last bit. To import its package takes longer than all else
that a start does.

B: pictures, C: channels, H, W: size of a layer, N: places in it, D: width, M: states of a prompt.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.models.blank import Conv2d, Linear

NORM_GROUPS = 32
TRANSFORMER_EPS = 1e-6
# How attention is computed; "sliced" takes one head of one picture at a time.
SDPA, SLICED, XFORMERS = "sdpa", "sliced", "xformers"


class ResnetBlock2D(nn.Module):
    """Two convolutions beside a shortcut; a UNet's blocks also take the embedding of the noise level."""

    def __init__(self, in_channels: int, out_channels: int, time_width: int | None, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(NORM_GROUPS, in_channels, eps=eps)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = None if time_width is None else Linear(time_width, out_channels)
        self.norm2 = nn.GroupNorm(NORM_GROUPS, out_channels, eps=eps)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1)
        self.nonlinearity = nn.SiLU()
        is_wider = in_channels != out_channels
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1) if is_wider else None

    def forward(self, input_tensor: Tensor, temb: Tensor | None = None) -> Tensor:
        hidden = self.conv1(self.nonlinearity(self.norm1(input_tensor)))
        if self.time_emb_proj is not None:
            assert temb is not None
            hidden = hidden + self.time_emb_proj(self.nonlinearity(temb))[:, :, None, None]
        hidden = self.conv2(self.nonlinearity(self.norm2(hidden)))
        shortcut: Tensor = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        return shortcut + hidden


class Attention(nn.Module):
    """Attention among the places of a layer, or from them to the states of a prompt."""

    def __init__(self, width: int, num_heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = num_heads
        self.kind = SDPA
        context = width if context_width is None else context_width
        self.to_q = Linear(width, width, bias=False)
        self.to_k = Linear(context, width, bias=False)
        self.to_v = Linear(context, width, bias=False)
        # The second is diffusers' dropout, which has no weights and is never in force.
        self.to_out = nn.ModuleList([Linear(width, width), nn.Identity()])

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = self.to_q(hidden_states)
        found = attended(query, self.to_k(context), self.to_v(context), self.heads, self.kind)
        given: Tensor = self.to_out[0](found)
        return given


def attended(query: Tensor, key: Tensor, value: Tensor, num_heads: int, kind: str = SDPA) -> Tensor:
    """What queries [B, N, D] find in keys and values [B, M, D]."""
    count, _, width = query.shape
    head_width = width // num_heads
    if kind == XFORMERS:
        found: Tensor = by_xformers(
            *(one.reshape(count, -1, num_heads, head_width) for one in (query, key, value))
        )
        return found.reshape(query.shape).to(query.dtype)
    query, key, value = (
        one.view(count, -1, num_heads, head_width).transpose(1, 2) for one in (query, key, value)
    )
    attend: Callable[..., Tensor] = in_slices if kind == SLICED else F.scaled_dot_product_attention
    found = attend(query, key, value)
    return found.transpose(1, 2).reshape(count, -1, width).to(query.dtype)


def in_slices(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same for [B, heads, N or M, D], where the weights of a single head are in memory at once."""
    flat = [one.flatten(0, 1) for one in (query, key, value)]
    scale = query.shape[-1] ** -0.5
    found = [torch.softmax(q @ k.T * scale, dim=-1) @ v for q, k, v in zip(*flat, strict=True)]
    return torch.stack(found).view(query.shape)


def by_xformers(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same for [B, N or M, heads, D] by xFormers."""
    from xformers.ops import memory_efficient_attention

    found: Tensor = memory_efficient_attention(query, key, value)
    return found


class GEGLU(nn.Module):
    """A layer whose second half decides how much of the first comes through."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.proj = Linear(width, 2 * inner_width)

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden, gate = self.proj(hidden_states).chunk(2, dim=-1)
        found: Tensor = hidden * F.gelu(gate)
        return found


class FeedForward(nn.Module):
    """Each place by itself, through a layer of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # The middle one is diffusers' dropout.
        self.net = nn.ModuleList([GEGLU(width, 4 * width), nn.Identity(), Linear(4 * width, width)])

    def forward(self, hidden_states: Tensor) -> Tensor:
        found: Tensor = self.net[2](self.net[0](hidden_states))
        return found


class BasicTransformerBlock(nn.Module):
    """Attention among places, attention to the prompt, and each place by itself."""

    def __init__(self, width: int, num_heads: int, context_width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, num_heads, context_width)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        hidden_states = self.attn1(self.norm1(hidden_states)) + hidden_states
        hidden_states = self.attn2(self.norm2(hidden_states), encoder_hidden_states) + hidden_states
        found: Tensor = self.ff(self.norm3(hidden_states)) + hidden_states
        return found


class Transformer2DModel(nn.Module):
    """Transformer blocks over the places [N, D] of a layer [C, H, W]."""

    def __init__(
        self, width: int, num_heads: int, depth: int, context_width: int, *, is_linear: bool
    ) -> None:
        super().__init__()
        self.is_linear = is_linear
        self.norm = nn.GroupNorm(NORM_GROUPS, width, eps=TRANSFORMER_EPS)
        self.proj_in: nn.Module = Linear(width, width) if is_linear else Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList(
            [BasicTransformerBlock(width, num_heads, context_width) for _ in range(depth)]
        )
        self.proj_out: nn.Module = Linear(width, width) if is_linear else Conv2d(width, width, 1)

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        count, width, height, length = hidden_states.shape
        hidden = self.norm(hidden_states)
        if not self.is_linear:
            hidden = self.proj_in(hidden)
        hidden = hidden.permute(0, 2, 3, 1).reshape(count, height * length, width)
        if self.is_linear:
            hidden = self.proj_in(hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden, encoder_hidden_states)
        if self.is_linear:
            hidden = self.proj_out(hidden)
        hidden = hidden.reshape(count, height, length, width).permute(0, 3, 1, 2).contiguous()
        found: Tensor = (hidden if self.is_linear else self.proj_out(hidden)) + hidden_states
        return found


class Downsample2D(nn.Module):
    """Half the size; a VAE's asks for more on the right and below alone."""

    def __init__(self, channels: int, *, is_even: bool = True) -> None:
        super().__init__()
        self.is_even = is_even
        self.conv = Conv2d(channels, channels, 3, stride=2, padding=1 if is_even else 0)

    def forward(self, hidden_states: Tensor) -> Tensor:
        found: Tensor = self.conv(hidden_states if self.is_even else F.pad(hidden_states, (0, 1, 0, 1)))
        return found


class Upsample2D(nn.Module):
    """Twice the size, or the one that is asked for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden_states: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        if output_size is None:
            larger = F.interpolate(hidden_states, scale_factor=2.0, mode="nearest")
        else:
            larger = F.interpolate(hidden_states, size=output_size, mode="nearest")
        found: Tensor = self.conv(larger)
        return found
