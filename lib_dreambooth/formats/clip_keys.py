"""A CLIP text encoder's layout, read off its tensors, and its names in Hugging Face and OpenCLIP.

Ours is Hugging Face's as it lies in files: `text_model.` in front, `text_projection.weight` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.formats.links import LayoutError, Link, Shapes, linear, norm, same

HEAD_WIDTH = 64

_OWN = re.compile(r"text_model\.encoder\.layers\.(\d{1,3})\.")
_OPEN_CLIP = re.compile(r"transformer\.resblocks\.(\d{1,3})\.")
_POSITIONS = ("text_model.embeddings.position_embedding.weight", "positional_embedding")
_TOKENS = ("text_model.embeddings.token_embedding.weight", "token_embedding.weight")
_INNER = ("mlp.fc1.weight", "mlp.fc1.bias", "mlp.c_fc.weight", "mlp.c_fc.bias")
_PICTURE_HALF = ("vision_model.", "visual.")
_WIDTH_ENDS = ("final_layer_norm.weight", "ln_final.weight", "layer_norm1.weight", "ln_1.weight")


@dataclass(frozen=True)
class ClipLayout:
    """What is needed to build the encoder; `projection_width` 0: the pooled state is not projected."""

    vocabulary: int
    num_positions: int
    width: int
    inner_width: int
    num_layers: int
    projection_width: int

    @property
    def num_heads(self) -> int:
        return max(self.width // HEAD_WIDTH, 1)

    def hf_config(self, activation: str) -> dict[str, Any]:
        """Arguments for transformers' CLIPTextConfig; see `kinds.activation_of` for the activation."""
        return {
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.num_positions,
            "hidden_size": self.width,
            "intermediate_size": self.inner_width,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "projection_dim": self.projection_width or self.width,
            "hidden_act": activation,
        }


def clip_config(shapes: Shapes) -> ClipLayout:
    """The layout of a text encoder in either naming, keys without prefix."""
    # Some merges keep the half of CLIP that looks at pictures, which has other widths.
    shapes = {key: shape for key, shape in shapes.items() if not key.startswith(_PICTURE_HALF)}
    is_open_clip = any(_OPEN_CLIP.match(key) for key in shapes)
    pattern = _OPEN_CLIP if is_open_clip else _OWN
    num_layers = max((int(match[1]) + 1 for key in shapes if (match := pattern.match(key))), default=0)
    tokens = next((shapes[key] for key in _TOKENS if key in shapes), None)
    positions = next((shapes[key] for key in _POSITIONS if key in shapes), None)
    width = next((shape[0] for key, shape in shapes.items() if key.endswith(_WIDTH_ENDS) and shape), 0)
    inner = next((shape[0] for key, shape in shapes.items() if key.endswith(_INNER) and shape), 4 * width)
    if not num_layers or not width or tokens is None or len(tokens) != 2:
        raise LayoutError("its layers do not make up a CLIP text encoder.")
    return ClipLayout(
        vocabulary=tokens[0],
        num_positions=positions[0] if positions else 77,
        width=width,
        inner_width=inner,
        num_layers=num_layers,
        projection_width=_projection_width(shapes),
    )


def _projection_width(shapes: Shapes) -> int:
    hf, open_clip = shapes.get("text_projection.weight"), shapes.get("text_projection")
    if hf is not None and len(hf) == 2:
        return hf[0]
    return open_clip[1] if open_clip is not None and len(open_clip) == 2 else 0


def hf_links(layout: ClipLayout) -> list[Link]:
    """Links of a file in our own naming."""
    return [same(name, shape, name) for name, shape in _own_shapes(layout)]


def open_clip_links(layout: ClipLayout) -> list[Link]:
    """Links to OpenCLIP's naming, where q, k and v are one tensor and the projection is transposed."""
    width = layout.width
    links = [
        same(_TOKENS[0], (layout.vocabulary, width), _TOKENS[1]),
        same(_POSITIONS[0], (layout.num_positions, width), _POSITIONS[1]),
    ]
    for index in range(layout.num_layers):
        links += _open_clip_layer(layout, index)
    links += [
        same(f"text_model.final_layer_norm.{end}", (width,), f"ln_final.{end}") for end in ("weight", "bias")
    ]
    if layout.projection_width:
        shape = (layout.projection_width, width)
        links.append(
            Link(("text_projection.weight",), shape, "text_projection", shape[::-1], is_transposed=True)
        )
    return links


def _open_clip_layer(layout: ClipLayout, index: int) -> Iterator[Link]:
    ours, theirs = f"text_model.encoder.layers.{index}", f"transformer.resblocks.{index}"
    width, inner = layout.width, layout.inner_width
    for end, shape in linear(width, width).items():
        names = tuple(f"{ours}.self_attn.{part}_proj.{end}" for part in "qkv")
        yield Link(names, shape, f"{theirs}.attn.in_proj_{end}", (3 * width, *shape[1:]))
    for name, key, shapes in (
        ("self_attn.out_proj", "attn.out_proj", linear(width, width)),
        ("layer_norm1", "ln_1", norm(width)),
        ("layer_norm2", "ln_2", norm(width)),
        ("mlp.fc1", "mlp.c_fc", linear(inner, width)),
        ("mlp.fc2", "mlp.c_proj", linear(width, inner)),
    ):
        for end, shape in shapes.items():
            yield same(f"{ours}.{name}.{end}", shape, f"{theirs}.{key}.{end}")


def _own_shapes(layout: ClipLayout) -> Iterator[tuple[str, tuple[int, ...]]]:
    for link in open_clip_links(layout):
        for name in link.names:
            yield name, link.shape
