"""CLIP text encoders in plain torch, straight from a file's tensors: what ours are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

HEAD_WIDTH = 64


@dataclass
class States:
    """What goes into each layer and out of the last, what the last norm makes of it, and its projection."""

    layers: list[Tensor]
    last: Tensor
    pooled: Tensor | None = None


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def attention(x: Tensor, qkv: Tensor, qkv_bias: Tensor, out: Tensor, out_bias: Tensor) -> Tensor:
    """Causal self-attention as torch's own multi-head function computes it; x [B, N, D]."""
    length, width = x.shape[1:]
    mask = torch.full((length, length), float("-inf")).triu(1)
    flowing = x.transpose(0, 1)
    result, _ = F.multi_head_attention_forward(
        flowing, flowing, flowing, width, width // HEAD_WIDTH, qkv, qkv_bias, None, None, False, 0.0, out,
        out_bias, need_weights=False, attn_mask=mask,
    )  # fmt: skip
    return result.transpose(0, 1)


def norm(x: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-5)


def mlp(
    x: Tensor, tensors: dict[str, Tensor], first: str, second: str, act: Callable[[Tensor], Tensor]
) -> Tensor:
    x = act(F.linear(x, tensors[f"{first}.weight"], tensors[f"{first}.bias"]))
    return F.linear(x, tensors[f"{second}.weight"], tensors[f"{second}.bias"])


def openai_states(tensors: dict[str, Tensor], ids: Tensor) -> States:
    """CLIP-L in Hugging Face's naming."""
    t = {key.removeprefix("text_model."): value for key, value in tensors.items()}
    x = (
        t["embeddings.token_embedding.weight"][ids]
        + t["embeddings.position_embedding.weight"][: ids.shape[1]]
    )
    layers = [x]
    depth = 1 + max(int(key.split(".")[2]) for key in t if key.startswith("encoder.layers."))
    for index in range(depth):
        at = f"encoder.layers.{index}"
        qkv = [torch.cat([t[f"{at}.self_attn.{p}_proj.{end}"] for p in "qkv"]) for end in ("weight", "bias")]
        out = [t[f"{at}.self_attn.out_proj.{end}"] for end in ("weight", "bias")]
        x = x + attention(norm(x, t, f"{at}.layer_norm1"), *qkv, *out)
        x = x + mlp(norm(x, t, f"{at}.layer_norm2"), t, f"{at}.mlp.fc1", f"{at}.mlp.fc2", quick_gelu)
        layers.append(x)
    return States(layers, norm(x, t, "final_layer_norm"))


def open_clip_states(t: dict[str, Tensor], ids: Tensor) -> States:
    """OpenCLIP-H and bigG in OpenCLIP's naming."""
    x = t["token_embedding.weight"][ids] + t["positional_embedding"]
    layers = [x]
    depth = 1 + max(int(key.split(".")[2]) for key in t if key.startswith("transformer.resblocks."))
    for index in range(depth):
        at = f"transformer.resblocks.{index}"
        qkv = t[f"{at}.attn.in_proj_weight"], t[f"{at}.attn.in_proj_bias"]
        out = t[f"{at}.attn.out_proj.weight"], t[f"{at}.attn.out_proj.bias"]
        x = x + attention(norm(x, t, f"{at}.ln_1"), *qkv, *out)
        x = x + mlp(norm(x, t, f"{at}.ln_2"), t, f"{at}.mlp.c_fc", f"{at}.mlp.c_proj", F.gelu)
        layers.append(x)
    last = norm(x, t, "ln_final")
    pooled = last[torch.arange(len(ids)), ids.argmax(dim=-1)] @ t["text_projection"]
    return States(layers, last, pooled)
