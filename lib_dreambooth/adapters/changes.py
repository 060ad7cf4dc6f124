"""What each kind of network adds to a layer's weight, worked out as WebUIs do it from the parts of a file.

O: outputs, I: inputs, k: kernel, r: rank, n: blocks, b: their size. W is the layer's weight, [O, I] or
[O, I, k, k]. Everything is computed in the precision that it is given in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]

LORA, LOHA, LOKR, IA3, FULL, GLORA, OFT = "lora", "loha", "lokr", "ia3", "full", "glora", "oft"
# WebUIs go by the first of these that is there.
MARKS = {
    "lora_up": LORA,
    "hada_w1_a": LOHA,
    "on_input": IA3,
    "lokr_w1": LOKR,
    "lokr_w1_a": LOKR,
    "diff": FULL,
    "a1": GLORA,
    "oft_blocks": OFT,
    "oft_diag": OFT,
}
# Keeps the quotient of two lengths from being 0 / 0, as A1111 does.
TINY = 1e-8


@dataclass(frozen=True)
class Form:
    """What a network does besides its tensors."""

    kind: str
    scale: float = 1.0  # alpha / rank
    bound: float = 0.0  # how long the turns of OFT may be all together; 0: as long as they like


def kind_of(parts: Parts) -> str | None:
    """The kind of network that these parts are."""
    return next((kind for mark, kind in MARKS.items() if mark in parts), None)


def change_of(form: Form, parts: Parts, weight: Tensor) -> Tensor:
    """What is added to W, in its shape."""
    change = product_of(form, parts, weight)
    if "dora_scale" in parts:
        merged = weight + change
        return merged * (parts["dora_scale"] / _lengths(merged, parts["dora_scale"])) - weight
    return change


def product_of(form: Form, parts: Parts, weight: Tensor) -> Tensor:
    """The same before DoRA gives the result its length."""
    change = turned(parts, weight, form.bound) if form.kind == OFT else PRODUCTS[form.kind](parts, weight)
    return change.reshape(weight.shape) * form.scale


def low_rank_product(up: Tensor, down: Tensor, mid: Tensor | None = None) -> Tensor:
    """`up` [O, r, ...] times `down` [r, I, ...]; `mid` [r, r, k, k] in Tucker's form."""
    up = up.flatten(1)
    if mid is None:
        return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])
    lowered = torch.einsum("rskl,si->rikl", mid, down.flatten(1))
    return torch.einsum("or,rikl->oikl", up, lowered)


def input_lengths(weight: Tensor) -> Tensor:
    """The length of what each input does: [1, I] or [1, I, 1, 1]."""
    lengths = weight.transpose(0, 1).flatten(1).norm(dim=1)
    return lengths.reshape(1, -1, *(1 for _ in weight.shape[2:]))


def is_by_input(dora_scale: Tensor, weight: Tensor) -> bool:
    """Whether DoRA gives a length to each input, and not to each output."""
    return dora_scale.shape[0] == 1 and dora_scale.shape[1] == weight.shape[1]


def turned(parts: Parts, weight: Tensor, bound: float = 0.0) -> Tensor:
    """How far OFT turns the outputs, block by block, and what it makes them longer by."""
    wide = torch.promote_types(weight.dtype, torch.float32)
    if "oft_diag" in parts:
        # LyCORIS before 2.0 stored what is turned by, not what it is made of.
        turns = parts["oft_diag"].to(wide) - torch.eye(parts["oft_diag"].shape[-1]).to(weight.device, wide)
    else:
        turns = _turns(parts["oft_blocks"].to(wide), bound)
    if turns.dim() == 4:
        added = _butterfly(turns, weight.to(wide)) - weight.to(wide)
    else:
        blocks = weight.to(wide).reshape(turns.shape[0], turns.shape[1], -1)
        added = torch.einsum("nab,naj->nbj", turns, blocks).reshape(weight.shape)
    if "rescale" in parts:
        rescale = parts["rescale"].to(wide).reshape(-1, *(1 for _ in weight.shape[1:]))
        added = rescale * added + (rescale - 1.0) * weight.to(wide)
    return added.to(weight.dtype)


def _lengths(merged: Tensor, dora_scale: Tensor) -> Tensor:
    if is_by_input(dora_scale, merged):
        return input_lengths(merged)
    return merged.flatten(1).norm(dim=1).reshape(dora_scale.shape)


def _turns(blocks: Tensor, bound: float) -> Tensor:
    """(1 + Q) / (1 - Q) - 1 for the skew part Q of each block: exactly 0 where nothing has been learnt."""
    skew = blocks - blocks.transpose(-1, -2)
    if bound:
        length = skew.flatten().norm()
        skew = skew * ((length.clamp(max=bound) + TINY) / (length + TINY))
    one = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    # 1 - Q always has an inverse; `inv` would wait for the card to say so.
    return 2.0 * skew @ torch.linalg.inv_ex(one - skew)[0]


def _butterfly(turns: Tensor, weight: Tensor) -> Tensor:
    """BOFT: one turn after another, each on outputs further apart. `turns` are [steps, n, b, b]."""
    num_steps, num_blocks, size, _ = turns.shape
    found = weight.flatten(1)
    for step in range(num_steps):
        stride = 2**step * (size // 2)
        apart = found.reshape(-1, 2, stride, found.shape[1]).transpose(1, 2)
        blocks = apart.reshape(num_blocks, size, -1)
        blocks = blocks + torch.einsum("nab,nbj->naj", turns[step], blocks)
        found = blocks.reshape(-1, stride, 2, found.shape[1]).transpose(1, 2).reshape(found.shape)
    return found.reshape(weight.shape)


def _lora(parts: Parts, weight: Tensor) -> Tensor:
    return low_rank_product(parts["lora_up"], parts["lora_down"], parts.get("lora_mid"))


def _loha(parts: Parts, weight: Tensor) -> Tensor:
    halves = []
    for number in "12":
        left, right = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
        mid = parts.get(f"hada_t{number}")
        halves.append(left @ right.flatten(1) if mid is None else low_rank_product(left.t(), right, mid))
    return halves[0] * halves[1]


def _lokr(parts: Parts, weight: Tensor) -> Tensor:
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = low_rank_product(parts["lokr_w2_a"].t(), parts["lokr_w2_b"], parts["lokr_t2"])
    else:
        second = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    return torch.kron(first.reshape(*first.shape, *(1 for _ in second.shape[2:])), second)


def _ia3(parts: Parts, weight: Tensor) -> Tensor:
    ones = [1] * (weight.dim() - 2)
    factors = parts["weight"]
    return weight * (factors.reshape(1, -1, *ones) if parts["on_input"] else factors.reshape(-1, 1, *ones))


def _full(parts: Parts, weight: Tensor) -> Tensor:
    return parts["diff"]


def _glora(parts: Parts, weight: Tensor) -> Tensor:
    narrow = torch.einsum("oi...,ir->or...", weight, parts["a2"])
    inputs = torch.einsum("or...,ri->oi...", narrow, parts["a1"])
    return (parts["b2"] @ parts["b1"]).reshape(weight.shape) + inputs


PRODUCTS: Mapping[str, Callable[[Parts, Tensor], Tensor]] = {
    LORA: _lora,
    LOHA: _loha,
    LOKR: _lokr,
    IA3: _ia3,
    FULL: _full,
    GLORA: _glora,
}
