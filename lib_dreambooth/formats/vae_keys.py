"""A VAE's layout read off its tensors, and its modules in diffusers' and in the original naming."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.formats.links import LayoutError, Link, Module, Shapes, conv, linear, links_of, norm, same

NORM_GROUPS = 32

_LDM = re.compile(r"(encoder\.down|decoder\.up)\.(\d{1,3})\.block\.(\d{1,3})\.")
_OWN = re.compile(r"(encoder\.down_blocks|decoder\.up_blocks)\.(\d{1,3})\.resnets\.(\d{1,3})\.")

RESNET = (
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("conv_shortcut", "nin_shortcut"),
)
ATTENTION = (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"))
# diffusers before 0.14.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True)
class VaeLayout:
    """What is needed to build the network; levels from the picture's side to the latent's."""

    in_channels: int
    out_channels: int
    latent_channels: int
    widths: tuple[int, ...]
    num_resnets: int  # of each level of the encoder; the decoder's have one more
    has_quant: bool

    @property
    def scale(self) -> int:
        """Pixels per latent cell along each side."""
        return 2 ** (len(self.widths) - 1)

    def diffusers_config(self) -> dict[str, Any]:
        """Arguments for diffusers' AutoencoderKL, without the latent scale, which belongs to the family."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "latent_channels": self.latent_channels,
            "block_out_channels": list(self.widths),
            "layers_per_block": self.num_resnets,
            "down_block_types": ["DownEncoderBlock2D"] * len(self.widths),
            "up_block_types": ["UpDecoderBlock2D"] * len(self.widths),
            "norm_num_groups": NORM_GROUPS,
        }


def vae_config(shapes: Shapes) -> VaeLayout:
    """The layout of a VAE in either naming, keys without prefix; a few missing tensors do not hide it."""
    is_ldm = any(_LDM.match(key) for key in shapes)
    resnets: dict[str, dict[int, int]] = {"encoder": {}, "decoder": {}}
    for key in shapes:
        match = (_LDM if is_ldm else _OWN).match(key)
        if match is not None:
            side = resnets[match[1].partition(".")[0]]
            side[int(match[2])] = max(side.get(int(match[2]), 0), int(match[3]) + 1)
    down, up = resnets["encoder"], resnets["decoder"]
    num_levels = 1 + max(down, default=max(up, default=-1))
    num_resnets = max(down.values(), default=max(up.values(), default=1) - 1)
    if num_levels == 0 or num_resnets < 1:
        raise LayoutError("its blocks do not make up a Stable Diffusion VAE.")
    conv_in, conv_out = shapes.get("encoder.conv_in.weight"), shapes.get("decoder.conv_out.weight")
    quant, decoder_in = shapes.get("post_quant_conv.weight"), shapes.get("decoder.conv_in.weight")
    latent = quant or decoder_in
    return VaeLayout(
        in_channels=conv_in[1] if conv_in and len(conv_in) == 4 else 3,
        out_channels=conv_out[0] if conv_out else 3,
        latent_channels=latent[1] if latent and len(latent) >= 2 else 4,
        widths=tuple(_width(shapes, level, num_levels, is_ldm=is_ldm) for level in range(num_levels)),
        num_resnets=num_resnets,
        has_quant=any(key.startswith(("quant_conv.", "post_quant_conv.")) for key in shapes),
    )


def vae_links(layout: VaeLayout) -> list[Link]:
    """Links from diffusers' names to the original ones, where attention is made of 1x1 convolutions."""
    return [
        _as_conv(link) if ".attentions." in link.names[0] else link for link in links_of(vae_modules(layout))
    ]


def current_vae_name(key: str) -> str:
    """A diffusers key with today's names of the attention's parts."""
    head, _, parameter = key.rpartition(".")
    block, _, part = head.rpartition(".")
    if ".attentions." in key and part in OLD_ATTENTION:
        return f"{block}.{OLD_ATTENTION[part]}.{parameter}"
    return key


def vae_modules(layout: VaeLayout) -> Iterator[Module]:
    """Every module with parameters, in both namings."""
    yield from _encoder(layout)
    yield from _decoder(layout)
    if layout.has_quant:
        double = 2 * layout.latent_channels
        yield Module("quant_conv", "quant_conv", conv(double, double, 1))
        latent = layout.latent_channels
        yield Module("post_quant_conv", "post_quant_conv", conv(latent, latent, 1))


def _encoder(layout: VaeLayout) -> Iterator[Module]:
    widths = layout.widths
    yield Module("encoder.conv_in", "encoder.conv_in", conv(widths[0], layout.in_channels, 3))
    inputs = widths[0]
    for level, width in enumerate(widths):
        ours, theirs = f"encoder.down_blocks.{level}", f"encoder.down.{level}"
        for index in range(layout.num_resnets):
            yield from _resnet(f"{ours}.resnets.{index}", f"{theirs}.block.{index}", inputs, width)
            inputs = width
        if level < len(widths) - 1:
            yield Module(f"{ours}.downsamplers.0.conv", f"{theirs}.downsample.conv", conv(width, width, 3))
    yield from _middle("encoder", widths[-1])
    yield Module("encoder.conv_norm_out", "encoder.norm_out", norm(widths[-1]))
    yield Module("encoder.conv_out", "encoder.conv_out", conv(2 * layout.latent_channels, widths[-1], 3))


def _decoder(layout: VaeLayout) -> Iterator[Module]:
    widths = layout.widths
    yield Module("decoder.conv_in", "decoder.conv_in", conv(widths[-1], layout.latent_channels, 3))
    yield from _middle("decoder", widths[-1])
    inputs = widths[-1]
    for block, width in enumerate(reversed(widths)):
        # The original counts from the picture's side, diffusers from the latent's.
        level = len(widths) - 1 - block
        ours, theirs = f"decoder.up_blocks.{block}", f"decoder.up.{level}"
        for index in range(layout.num_resnets + 1):
            yield from _resnet(f"{ours}.resnets.{index}", f"{theirs}.block.{index}", inputs, width)
            inputs = width
        if level > 0:
            yield Module(f"{ours}.upsamplers.0.conv", f"{theirs}.upsample.conv", conv(width, width, 3))
    yield Module("decoder.conv_norm_out", "decoder.norm_out", norm(widths[0]))
    yield Module("decoder.conv_out", "decoder.conv_out", conv(layout.out_channels, widths[0], 3))


def _middle(side: str, width: int) -> Iterator[Module]:
    ours, theirs = f"{side}.mid_block", f"{side}.mid"
    yield from _resnet(f"{ours}.resnets.0", f"{theirs}.block_1", width, width)
    for name, ldm in ATTENTION:
        shapes = norm(width) if ldm == "norm" else linear(width, width)
        yield Module(f"{ours}.attentions.0.{name}", f"{theirs}.attn_1.{ldm}", shapes)
    yield from _resnet(f"{ours}.resnets.1", f"{theirs}.block_2", width, width)


def _resnet(ours: str, theirs: str, inputs: int, width: int) -> Iterator[Module]:
    shapes = {
        "norm1": norm(inputs),
        "conv1": conv(width, inputs, 3),
        "norm2": norm(width),
        "conv2": conv(width, width, 3),
    }
    if inputs != width:
        shapes["conv_shortcut"] = conv(width, inputs, 1)
    for name, ldm in RESNET:
        if name in shapes:
            yield Module(f"{ours}.{name}", f"{theirs}.{ldm}", shapes[name])


def _as_conv(link: Link) -> Link:
    if len(link.shape) != 2:
        return link
    return same(link.names[0], link.shape, link.key, (*link.shape, 1, 1))


def _width(shapes: Shapes, level: int, num_levels: int, *, is_ldm: bool) -> int:
    block = num_levels - 1 - level
    places = (
        (f"encoder.down.{level}.block.0", f"decoder.up.{level}.block.0")
        if is_ldm
        else (f"encoder.down_blocks.{level}.resnets.0", f"decoder.up_blocks.{block}.resnets.0")
    )
    for place in places:
        for parameter in ("conv1.weight", "norm2.weight", "conv2.weight"):
            shape = shapes.get(f"{place}.{parameter}")
            if shape and shape[0] > 0:
                return shape[0]
    raise LayoutError(f"the width of the VAE's level {level} cannot be seen.")
