"""A file's network for one layer, of whatever kind it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lib_dreambooth.adapters.changes import (
    FULL,
    GLORA,
    IA3,
    LORA,
    OFT,
    Form,
    kind_of,
    product_of,
)
from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.low_rank import NO_DROPOUTS, Dropouts, LowRank
from lib_dreambooth.adapters.low_rank import from_file as low_rank_from_file
from lib_dreambooth.adapters.norms import NormDifference, norm_from_file
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.lora import AdapterModule

USED: Mapping[str, tuple[str, ...]] = {
    LORA: ("lora_up", "lora_down", "lora_mid"),
    "loha": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    "lokr": ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
    IA3: ("weight",),
    FULL: ("diff", "diff_b"),
    GLORA: ("a1", "a2", "b1", "b2"),
    OFT: ("oft_blocks", "oft_diag", "rescale"),
}


def beside_from_file(
    module: AdapterModule, shape: Shape, dropouts: Dropouts = NO_DROPOUTS
) -> LowRank | Dense | NormDifference | None:
    """The network of a layer whose weight has this shape; None where the parts do not fit it."""
    if len(shape) == 1:
        return norm_from_file(module.parts, shape)
    kind = kind_of(module.parts)
    if kind is None:
        return None
    if kind == LORA and "dora_scale" not in module.parts:
        return low_rank_from_file(module, shape, dropouts)
    found = _parts_of(kind, module, shape)
    if found is None or not _fits(kind, found, module, shape):
        return None
    is_on_input = kind == IA3 and bool(module.parts["on_input"])
    alpha = _alpha(kind, module)
    return Dense(kind, found, alpha, dropouts, is_on_input=is_on_input)


def _parts_of(kind: str, module: AdapterModule, shape: Shape) -> dict[str, Tensor] | None:
    parts = {name: module.parts[name] for name in USED[kind] if name in module.parts}
    if kind == GLORA:
        parts = _as_hosts_have_it(parts, shape)
    if "dora_scale" in module.parts:
        lengths = _lengths(module.parts["dora_scale"], shape)
        if lengths is None:
            return None
        parts["dora_scale"] = lengths
    return parts


def _as_hosts_have_it(parts: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """GLoRA as matrices, b2 b1 and a2 a1; LyCORIS has them the other way round."""
    flat = {name: tensor.flatten(1) for name, tensor in parts.items()}
    if len(flat) == 4 and flat["a2"].shape[0] != shape[1]:
        return {"a1": flat["a2"], "a2": flat["a1"], "b1": flat["b2"], "b2": flat["b1"]}
    return flat


def _lengths(dora_scale: Tensor, shape: Shape) -> Tensor | None:
    """DoRA's lengths in the shape that they are multiplied in; None where they fit neither side."""
    ones = [1] * (len(shape) - 2)
    if dora_scale.dim() > 1 and dora_scale.shape[0] == 1 and dora_scale.numel() == shape[1]:
        return dora_scale.reshape(1, -1, *ones)
    if dora_scale.numel() == shape[0] and dora_scale.shape[0] == shape[0]:
        # A1111 would take them for lengths of inputs.
        return dora_scale.reshape(-1, 1, *ones)
    return None


def _alpha(kind: str, module: AdapterModule) -> float | None:
    if kind in (IA3, FULL):
        return None
    if kind == OFT:
        return module.alpha or 0.0
    if "scale" in module.parts:
        return module.scale * (module.rank or 1)
    return module.alpha if module.alpha is not None or module.rank is None else float(module.rank)


def _fits(kind: str, parts: dict[str, Tensor], module: AdapterModule, shape: Shape) -> bool:
    """Whether the parts make a change of this shape, tried without values."""
    if kind == IA3:
        return parts["weight"].numel() == (shape[1] if bool(module.parts["on_input"]) else shape[0])
    blocks = parts.get("oft_blocks", parts.get("oft_diag"))
    if blocks is not None and (blocks.dim() < 3 or blocks.shape[-3] * blocks.shape[-1] != shape[0]):
        return False
    if "diff_b" in parts and tuple(parts["diff_b"].shape) != shape[:1]:
        return False
    if "rescale" in parts and parts["rescale"].numel() != shape[0]:
        return False
    empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in parts.items()}
    try:
        product_of(Form(kind), empty, torch.empty(shape, device="meta"))
    except (RuntimeError, KeyError, IndexError):
        # Sizes that cannot be multiplied, or a part that is not there.
        return False
    return True
