"""A UNet's modules in diffusers' and in the original naming."""

from __future__ import annotations

from collections.abc import Iterator

from lib_dreambooth.formats.links import Link, Module, conv, linear, links_of, norm
from lib_dreambooth.formats.unet_layout import NO_MIDDLE, UNetLayout

RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)


def unet_links(layout: UNetLayout) -> list[Link]:
    """Links from diffusers' names to the original ones, without the file's prefix."""
    return list(links_of(unet_modules(layout)))


def unet_modules(layout: UNetLayout) -> Iterator[Module]:
    """Every module with parameters, in both namings."""
    first = layout.widths[0]
    yield Module("conv_in", "input_blocks.0.0", conv(first, layout.in_channels, 3))
    yield Module("time_embedding.linear_1", "time_embed.0", linear(layout.time_width, first))
    yield Module("time_embedding.linear_2", "time_embed.2", linear(layout.time_width, layout.time_width))
    if layout.addition_width:
        yield Module(
            "add_embedding.linear_1", "label_emb.0.0", linear(layout.time_width, layout.addition_width)
        )
        yield Module("add_embedding.linear_2", "label_emb.0.2", linear(layout.time_width, layout.time_width))
    yield from _down(layout)
    yield from _middle(layout)
    yield from _up(layout)
    yield Module("conv_norm_out", "out.0", norm(first))
    yield Module("conv_out", "out.2", conv(layout.out_channels, first, 3))


def _down(layout: UNetLayout) -> Iterator[Module]:
    number = 1
    inputs = layout.widths[0]
    for level, (width, depths) in enumerate(zip(layout.widths, layout.down_depths, strict=True)):
        block = f"down_blocks.{level}"
        for layer, depth in enumerate(depths):
            yield from _resnet(layout, f"{block}.resnets.{layer}", f"input_blocks.{number}.0", inputs, width)
            yield from _attention(
                layout, f"{block}.attentions.{layer}", f"input_blocks.{number}.1", width, depth
            )
            inputs = width
            number += 1
        if level < len(layout.widths) - 1:
            yield Module(f"{block}.downsamplers.0.conv", f"input_blocks.{number}.0.op", conv(width, width, 3))
            number += 1


def _middle(layout: UNetLayout) -> Iterator[Module]:
    if layout.mid_depth == NO_MIDDLE:
        return
    width = layout.widths[-1]
    yield from _resnet(layout, "mid_block.resnets.0", "middle_block.0", width, width)
    if layout.mid_depth > 0:
        yield from _attention(layout, "mid_block.attentions.0", "middle_block.1", width, layout.mid_depth)
        yield from _resnet(layout, "mid_block.resnets.1", "middle_block.2", width, width)


def _up(layout: UNetLayout) -> Iterator[Module]:
    skips = _skip_widths(layout)
    inputs = layout.widths[-1]
    number = 0
    for block, (width, depths) in enumerate(zip(reversed(layout.widths), layout.up_depths, strict=True)):
        for layer, depth in enumerate(depths):
            ours, theirs = f"up_blocks.{block}", f"output_blocks.{number}"
            yield from _resnet(layout, f"{ours}.resnets.{layer}", f"{theirs}.0", inputs + skips.pop(), width)
            yield from _attention(layout, f"{ours}.attentions.{layer}", f"{theirs}.1", width, depth)
            if layer == len(depths) - 1 and block < len(layout.widths) - 1:
                place = 2 if depth else 1
                yield Module(f"{ours}.upsamplers.0.conv", f"{theirs}.{place}.conv", conv(width, width, 3))
            inputs = width
            number += 1


def _skip_widths(layout: UNetLayout) -> list[int]:
    """Widths that the way down leaves for the way up, in the order in which they are left."""
    widths = [layout.widths[0]]
    for level, (width, depths) in enumerate(zip(layout.widths, layout.down_depths, strict=True)):
        is_last = level == len(layout.widths) - 1
        widths += [width] * (len(depths) + (0 if is_last else 1))
    return widths


def _resnet(layout: UNetLayout, ours: str, theirs: str, inputs: int, width: int) -> Iterator[Module]:
    shapes = {
        "norm1": norm(inputs),
        "conv1": conv(width, inputs, 3),
        "time_emb_proj": linear(width, layout.time_width),
        "norm2": norm(width),
        "conv2": conv(width, width, 3),
    }
    if inputs != width:
        shapes["conv_shortcut"] = conv(width, inputs, 1)
    for name, ldm in RESNET:
        if name in shapes:
            yield Module(f"{ours}.{name}", f"{theirs}.{ldm}", shapes[name])


def _attention(layout: UNetLayout, ours: str, theirs: str, width: int, depth: int) -> Iterator[Module]:
    if not depth:
        return
    projection = linear(width, width) if layout.is_linear else conv(width, width, 1)
    yield Module(f"{ours}.norm", f"{theirs}.norm", norm(width))
    yield Module(f"{ours}.proj_in", f"{theirs}.proj_in", projection)
    for index in range(depth):
        for name, shapes in _transformer_block(layout, width):
            place = f"transformer_blocks.{index}.{name}"
            yield Module(f"{ours}.{place}", f"{theirs}.{place}", shapes)
    yield Module(f"{ours}.proj_out", f"{theirs}.proj_out", projection)


def _transformer_block(layout: UNetLayout, width: int) -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    for attention, context in (("attn1", width), ("attn2", layout.context_width)):
        yield f"{attention}.to_q", linear(width, width, bias=False)
        yield f"{attention}.to_k", linear(width, context, bias=False)
        yield f"{attention}.to_v", linear(width, context, bias=False)
        yield f"{attention}.to_out.0", linear(width, width)
    yield "ff.net.0.proj", linear(8 * width, width)
    yield "ff.net.2", linear(width, 4 * width)
    for name in ("norm1", "norm2", "norm3"):
        yield name, norm(width)
