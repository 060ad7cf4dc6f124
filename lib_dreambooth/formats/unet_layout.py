"""A UNet's widths, depths and heads, read off its tensors' shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.formats.links import LayoutError, Shapes

HEAD_WIDTH = 64
SD1_NUM_HEADS = 8
NORM_GROUPS = 32
SIZE_ID_WIDTH = 256
NO_ATTENTION = -1
NO_MIDDLE = -2

_LDM = re.compile(
    r"(input_blocks|output_blocks)\.(\d{1,3})\.(\d{1,3})\.(?:transformer_blocks\.(\d{1,3})\.)?(\w+)"
)
_OWN = re.compile(
    r"(down_blocks|up_blocks)\.(\d{1,3})\.(resnets|attentions)\.(\d{1,3})\.(?:transformer_blocks\.(\d{1,3})\.)?"
)
_MIDDLE = re.compile(r"(?:middle_block\.1|mid_block\.attentions\.0)\.transformer_blocks\.(\d{1,3})\.")


@dataclass(frozen=True)
class UNetLayout:
    """What is needed to build the network.

    Depths count the transformer blocks behind each residual block; 0 means no attention there.
    """

    in_channels: int
    out_channels: int
    widths: tuple[int, ...]
    down_depths: tuple[tuple[int, ...], ...]
    up_depths: tuple[tuple[int, ...], ...]  # the deepest level first
    mid_depth: int  # NO_ATTENTION: one residual block; NO_MIDDLE: nothing
    context_width: int
    time_width: int
    addition_width: int  # inputs of the embedding of pooled text and sizes; 0: there is none
    is_linear: bool  # proj_in and proj_out are linear (SD2, SDXL) rather than 1x1 convolutions (SD1)

    def num_heads(self, width: int) -> int:
        """SD1 has 8 heads everywhere; later ones have heads of width 64."""
        return max(width // HEAD_WIDTH, 1) if self.is_linear else SD1_NUM_HEADS

    def diffusers_config(self, pooled_width: int | None = None) -> dict[str, Any]:
        """Arguments for diffusers' UNet2DConditionModel; SDXL needs its second encoder's `pooled_width`."""
        config: dict[str, Any] = {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": list(self.widths),
            "layers_per_block": [len(depths) for depths in self.down_depths],
            "down_block_types": [_block("DownBlock2D", depths) for depths in self.down_depths],
            "up_block_types": [_block("UpBlock2D", depths) for depths in self.up_depths],
            "mid_block_type": self._mid_block(),
            "cross_attention_dim": self.context_width,
            "attention_head_dim": [self.num_heads(width) for width in self.widths],
            "use_linear_projection": self.is_linear,
            "norm_num_groups": NORM_GROUPS,
            **self._transformer_depths(),
        }
        if self.time_width != 4 * self.widths[0]:
            config["time_embedding_dim"] = self.time_width
        if self.addition_width:
            config["addition_embed_type"] = "text_time"
            config["projection_class_embeddings_input_dim"] = self.addition_width
            config["addition_time_embed_dim"] = self.size_id_width(pooled_width)
        return config

    def size_id_width(self, pooled_width: int | None = None) -> int:
        """Width of the sinusoidal embedding of each of the 6 (refiner: 5) size numbers."""
        if pooled_width is None:
            return SIZE_ID_WIDTH
        rest = self.addition_width - pooled_width
        count = next((count for count in (6, 5) if rest == count * SIZE_ID_WIDTH), 6)
        if rest <= 0 or rest % count:
            raise LayoutError("the UNet does not belong to this text encoder: the pooled width differs.")
        return rest // count

    def _mid_block(self) -> str | None:
        if self.mid_depth == NO_MIDDLE:
            return None
        return "UNetMidBlock2D" if self.mid_depth == NO_ATTENTION else "UNetMidBlock2DCrossAttn"

    def _transformer_depths(self) -> dict[str, Any]:
        down = [_uniform(depths) for depths in self.down_depths]
        up = [_uniform(depths) for depths in self.up_depths]
        last = self.down_depths[-1][-1]
        if self.mid_depth > 0 and last not in (0, self.mid_depth):
            raise LayoutError(
                f"the UNet's middle has {self.mid_depth} transformer blocks and its last level {last}; "
                "such a pruned network cannot be built here."
            )
        # diffusers takes the middle block's depth from the last level.
        down[-1] = down[-1] or max(self.mid_depth, 1)
        config: dict[str, Any] = {"transformer_layers_per_block": [depth or 1 for depth in down]}
        if [depth or 1 for depth in up] != list(reversed(config["transformer_layers_per_block"])):
            config["reverse_transformer_layers_per_block"] = [depth or 1 for depth in up]
        return config


def unet_config(shapes: Shapes) -> UNetLayout:
    """The layout of a UNet in the original or diffusers naming, keys without prefix.

    A few missing tensors do not hide it. Raises LayoutError where the keys are no UNet's.
    """
    is_ldm = any(key.startswith("input_blocks.") for key in shapes)
    levels, ups, widths = _ldm_blocks(shapes) if is_ldm else _own_blocks(shapes)
    if not levels or [len(depths) - 1 for depths in ups] != [len(depths) for depths in reversed(levels)]:
        raise LayoutError("its blocks do not make up a Stable Diffusion UNet.")
    context = _first(shapes, "attn2.to_k.weight", "attn2.to_v.weight")
    projection = _first(shapes, ".proj_in.weight", ".proj_out.weight")
    if context is None or projection is None or len(context) != 2:
        raise LayoutError("it has no cross-attention, so it takes no prompt.")
    conv_in = _exact(shapes, "input_blocks.0.0.weight", "conv_in.weight")
    conv_out = _exact(shapes, "out.2.weight", "conv_out.weight")
    time = _exact(shapes, "time_embed.0.weight", "time_embedding.linear_1.weight")
    addition = _exact(shapes, "label_emb.0.0.weight", "add_embedding.linear_1.weight")
    return UNetLayout(
        in_channels=conv_in[1] if conv_in and len(conv_in) == 4 else 4,
        out_channels=conv_out[0] if conv_out else 4,
        widths=widths,
        down_depths=levels,
        up_depths=ups,
        mid_depth=_mid_depth(shapes),
        context_width=context[1],
        time_width=time[0] if time else 4 * widths[0],
        addition_width=addition[1] if addition and len(addition) == 2 else 0,
        is_linear=len(projection) == 2,
    )


Depths = tuple[tuple[int, ...], ...]


def _ldm_blocks(shapes: Shapes) -> tuple[Depths, Depths, tuple[int, ...]]:
    inputs: dict[int, int] = {}
    outputs: dict[int, int] = {}
    downsamplers = set()
    for key in shapes:
        match = _LDM.match(key)
        if match is None:
            continue
        side, number, kind = match[1], int(match[2]), match[5]
        counts = inputs if side == "input_blocks" else outputs
        counts[number] = max(counts.get(number, 0), int(match[4]) + 1 if match[4] else 0)
        if kind == "op":
            downsamplers.add(number)
    levels: list[list[int]] = [[]]
    widths: list[int] = []
    for number in range(1, max(inputs, default=0) + 1):
        if number in downsamplers:
            levels.append([])
            continue
        levels[-1].append(inputs.get(number, 0))
        if len(levels[-1]) == 1:
            widths.append(_width(shapes, f"input_blocks.{number}.0", LDM_WIDTHS))
    flat = [outputs.get(number, 0) for number in range(max(outputs, default=-1) + 1)]
    ups = []
    for depths in reversed(levels):
        ups.append(tuple(flat[: len(depths) + 1]))
        flat = flat[len(depths) + 1 :]
    if flat:
        ups.append(tuple(flat))
    return tuple(tuple(depths) for depths in levels if depths), tuple(ups), tuple(widths)


LDM_WIDTHS = ("in_layers.2.weight", "out_layers.0.weight", "out_layers.3.weight", "emb_layers.1.weight")
OWN_WIDTHS = ("conv1.weight", "norm2.weight", "conv2.weight", "time_emb_proj.weight")


def _own_blocks(shapes: Shapes) -> tuple[Depths, Depths, tuple[int, ...]]:
    found: dict[str, dict[tuple[int, int], int]] = {"down_blocks": {}, "up_blocks": {}}
    for key in shapes:
        match = _OWN.match(key)
        if match is not None:
            place = int(match[2]), int(match[4])
            depth = int(match[5]) + 1 if match[5] else 0
            found[match[1]][place] = max(found[match[1]].get(place, 0), depth)
    levels, ups = _grouped(found["down_blocks"]), _grouped(found["up_blocks"])
    widths = tuple(
        _width(shapes, f"down_blocks.{level}.resnets.0", OWN_WIDTHS) for level in range(len(levels))
    )
    return levels, ups, widths


def _grouped(found: dict[tuple[int, int], int]) -> Depths:
    count = 1 + max((block for block, _ in found), default=-1)
    return tuple(
        tuple(depth for (at, _), depth in sorted(found.items()) if at == block) for block in range(count)
    )


def _mid_depth(shapes: Shapes) -> int:
    depth = max((int(match[1]) + 1 for key in shapes if (match := _MIDDLE.match(key))), default=0)
    if depth:
        return depth
    has_middle = any(key.startswith(("middle_block.0.", "mid_block.resnets.0.")) for key in shapes)
    return NO_ATTENTION if has_middle else NO_MIDDLE


def _width(shapes: Shapes, block: str, parameters: tuple[str, ...]) -> int:
    shape = _exact(shapes, *(f"{block}.{parameter}" for parameter in parameters))
    if not shape or shape[0] < 1:
        raise LayoutError(f"the width of `{block}` cannot be seen.")
    return shape[0]


def _exact(shapes: Shapes, *keys: str) -> tuple[int, ...] | None:
    return next((shapes[key] for key in keys if key in shapes), None)


def _first(shapes: Shapes, *endings: str) -> tuple[int, ...] | None:
    return next((shape for key, shape in shapes.items() if key.endswith(endings)), None)


def _block(kind: str, depths: tuple[int, ...]) -> str:
    return f"CrossAttn{kind}" if any(depths) else kind


def _uniform(depths: tuple[int, ...]) -> int | list[int]:
    """One number where all residual blocks of a level are followed by the same depth."""
    if len(set(depths)) == 1:
        return depths[0]
    if 0 in depths:
        raise LayoutError(
            "a level has attention behind some of its residual blocks only; it cannot be built here."
        )
    return list(depths)
