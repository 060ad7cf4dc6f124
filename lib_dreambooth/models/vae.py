"""Stable Diffusion's VAE, made from a layout: pictures to latents and back.

B: pictures, C: channels, H, W: size of a layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib_dreambooth.formats.vae_keys import VaeLayout
from lib_dreambooth.models.blank import Conv2d, Linear
from lib_dreambooth.models.unet_layers import (
    NORM_GROUPS,
    Downsample2D,
    ResnetBlock2D,
    Upsample2D,
    attended,
)

EPS = 1e-6
# The logarithm of the variance stays within, so that it can be taken back.
LOWEST, HIGHEST = -30.0, 20.0


@dataclass(frozen=True)
class VaeSizes:
    """What is asked of a VAE from outside, in diffusers' words."""

    scaling_factor: float
    latent_channels: int


class Spread:
    """What the encoder makes of pictures: mean and deviation of each number, not yet scaled."""

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters
        self.mean, logarithm = parameters.chunk(2, dim=1)
        self.std = torch.exp(0.5 * logarithm.clamp(LOWEST, HIGHEST))


@dataclass(frozen=True, eq=False)
class Encoded:
    latent_dist: Spread


@dataclass(frozen=True, eq=False)
class Decoded:
    sample: Tensor


class WholeAttention(nn.Module):
    """Attention with a single head among all places of a layer, beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(NORM_GROUPS, width, eps=EPS)
        self.to_q, self.to_k, self.to_v = (Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([Linear(width, width), nn.Identity()])

    def forward(self, hidden_states: Tensor) -> Tensor:
        places = hidden_states.flatten(2).transpose(1, 2)
        normed = self.group_norm(places.transpose(1, 2)).transpose(1, 2)
        found = attended(self.to_q(normed), self.to_k(normed), self.to_v(normed), num_heads=1)
        given: Tensor = self.to_out[0](found).transpose(-1, -2).reshape(hidden_states.shape)
        return given + hidden_states


class Middle(nn.Module):
    """Where everything sees everything."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([WholeAttention(width)])
        self.resnets = nn.ModuleList([ResnetBlock2D(width, width, None, EPS) for _ in range(2)])

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](hidden)))
        return found


class Level(nn.Module):
    """Residual blocks of one size and the change to the next one."""

    def __init__(self, in_channels: int, width: int, count: int) -> None:
        super().__init__()
        widths = [in_channels, *[width] * count]
        self.resnets = nn.ModuleList(
            [ResnetBlock2D(before, after, None, EPS) for before, after in itertools.pairwise(widths)]
        )
        self.downsamplers: nn.ModuleList | None = None
        self.upsamplers: nn.ModuleList | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        for resnet in self.resnets:
            hidden = resnet(hidden)
        for change in (*(self.downsamplers or ()), *(self.upsamplers or ())):
            hidden = change(hidden)
        return hidden


class Encoder(nn.Module):
    """Pictures to means and spreads."""

    def __init__(self, in_channels: int, latent_channels: int, widths: Sequence[int], count: int) -> None:
        super().__init__()
        self.conv_in = Conv2d(in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        before = widths[0]
        for number, width in enumerate(widths):
            level = Level(before, width, count)
            if number < len(widths) - 1:
                level.downsamplers = nn.ModuleList([Downsample2D(width, is_even=False)])
            self.down_blocks.append(level)
            before = width
        self.mid_block = Middle(widths[-1])
        self.conv_norm_out = nn.GroupNorm(NORM_GROUPS, widths[-1], eps=EPS)
        self.conv_act = nn.SiLU()
        self.conv_out = Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv_in(hidden)
        for block in self.down_blocks:
            hidden = block(hidden)
        found: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(self.mid_block(hidden))))
        return found


class Decoder(nn.Module):
    """Latents to pictures."""

    def __init__(self, latent_channels: int, out_channels: int, widths: Sequence[int], count: int) -> None:
        super().__init__()
        self.conv_in = Conv2d(latent_channels, widths[-1], 3, padding=1)
        self.up_blocks = nn.ModuleList()
        before = widths[-1]
        for number, width in enumerate(reversed(widths)):
            level = Level(before, width, count + 1)
            if number < len(widths) - 1:
                level.upsamplers = nn.ModuleList([Upsample2D(width)])
            self.up_blocks.append(level)
            before = width
        self.mid_block = Middle(widths[-1])
        self.conv_norm_out = nn.GroupNorm(NORM_GROUPS, widths[0], eps=EPS)
        self.conv_act = nn.SiLU()
        self.conv_out = Conv2d(widths[0], out_channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.mid_block(self.conv_in(hidden))
        for block in self.up_blocks:
            hidden = block(hidden)
        found: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(hidden)))
        return found


class AutoencoderKL(nn.Module):
    """Both halves, and the layers between them where a file has them."""

    def __init__(self, layout: VaeLayout, scaling_factor: float) -> None:
        super().__init__()
        latent, widths, count = layout.latent_channels, layout.widths, layout.num_resnets
        self.config = VaeSizes(scaling_factor, latent)
        self.encoder = Encoder(layout.in_channels, latent, widths, count)
        self.decoder = Decoder(latent, layout.out_channels, widths, count)
        self.quant_conv = Conv2d(2 * latent, 2 * latent, 1) if layout.has_quant else None
        self.post_quant_conv = Conv2d(latent, latent, 1) if layout.has_quant else None

    def encode(self, pixels: Tensor) -> Encoded:
        """Pictures [B, 3, H, W] of -1 to 1 to latents."""
        hidden = self.encoder(pixels)
        return Encoded(Spread(hidden if self.quant_conv is None else self.quant_conv(hidden)))

    def decode(self, latents: Tensor) -> Decoded:
        """Latents, no longer scaled, to pictures [B, 3, H, W] of about -1 to 1."""
        return Decoded(
            self.decoder(latents if self.post_quant_conv is None else self.post_quant_conv(latents))
        )
