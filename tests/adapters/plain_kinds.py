"""Weights with a network at work, in plain PyTorch from the papers' formulas: what ours are held to.

Parts are those of files, in the form that WebUIs read. O: outputs, I: inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]


def plain_weight(parts: Parts, alpha: float | None, weight: Tensor) -> Tensor:
    """W with the network in it, at full strength."""
    merged = _merged(parts, alpha, weight)
    if "dora_scale" not in parts:
        return merged
    columns = [merged[:, index] for index in range(merged.shape[1])]
    lengths = torch.stack([(column**2).sum() ** 0.5 for column in columns])
    scale = parts["dora_scale"].reshape(-1) / lengths
    return torch.stack([column * scale[index] for index, column in enumerate(columns)], dim=1)


def _merged(parts: Parts, alpha: float | None, weight: Tensor) -> Tensor:
    if "lora_up" in parts:
        up, down = parts["lora_up"], parts["lora_down"]
        return weight + alpha_over(alpha, len(down)) * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    if "hada_w1_a" in parts:
        first, second = (hada(parts, number) for number in "12")
        return weight + alpha_over(alpha, len(parts["hada_w1_b"])) * (first * second).reshape(weight.shape)
    if "lokr_w2" in parts or "lokr_w2_a" in parts:
        return weight + lokr(parts, alpha, weight)
    if "on_input" in parts:
        factors = 1 + parts["weight"].reshape(-1)
        if parts["on_input"]:
            return weight * factors.reshape(1, -1, *[1] * (weight.dim() - 2))
        return weight * factors.reshape(-1, *[1] * (weight.dim() - 1))
    if "diff" in parts:
        return weight + parts["diff"]
    if "a1" in parts:
        assert alpha == parts["a1"].shape[0]
        return weight + weight @ (parts["a2"] @ parts["a1"]) + parts["b2"] @ parts["b1"]
    return oft(parts, alpha or 0.0, weight)


def alpha_over(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank


def hada(parts: Parts, number: str) -> Tensor:
    left, right = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
    if f"hada_t{number}" not in parts:
        return left @ right
    return torch.einsum("rskl,ro,si->oikl", parts[f"hada_t{number}"], left, right)


def lokr(parts: Parts, alpha: float | None, weight: Tensor) -> Tensor:
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
        rank = None if "lokr_w1" in parts else len(parts["lokr_w1_b"])
    else:
        rank = len(parts["lokr_w2_b"])
        left, right = parts["lokr_w2_a"], parts["lokr_w2_b"]
        if "lokr_t2" in parts:
            second = torch.einsum("rskl,ro,si->oikl", parts["lokr_t2"], left, right)
        else:
            second = left @ right
    blocks = [
        torch.cat([number * second.reshape(len(second), -1, *weight.shape[2:]) for number in row], dim=1)
        for row in first
    ]
    return torch.cat(blocks) * (1.0 if rank is None else alpha_over(alpha, rank))


def oft(parts: Parts, constraint: float, weight: Tensor) -> Tensor:
    """R^T W with R = (1 + Q) (1 - Q)^-1, block by block."""
    blocks = parts["oft_blocks"]
    skew = blocks - blocks.transpose(1, 2)
    bound, length = constraint * len(weight), (skew**2).sum() ** 0.5
    if constraint and length > bound:
        skew = skew * bound / length
    one = torch.eye(blocks.shape[1], dtype=weight.dtype)
    turns = [torch.linalg.solve((one - q).T, (one + q).T) for q in skew]
    found = (torch.block_diag(*turns) @ weight.flatten(1)).reshape(weight.shape)
    return found * parts["rescale"].reshape(-1, *[1] * (weight.dim() - 1)) if "rescale" in parts else found
