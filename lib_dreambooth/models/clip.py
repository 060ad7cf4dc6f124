"""CLIP's text encoder, made from a layout, in transformers' names.

B: rows, N: tokens, D: width, P: projected width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.base.versions import first_two
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.models.blank import Linear, blank_embedding

QUICK_GELU = "quick_gelu"
QUICK = 1.702
# Hosts with a PyTorch before 2.2 have a transformers that does so, and their pictures are to be ours.
IS_STEP_BY_STEP = first_two(torch.__version__) < (2, 2)


@dataclass(frozen=True, eq=False)
class TextOutput:
    """States [B, N, D] behind the last norm, those of every layer before it, the projected one [B, P]."""

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    text_embeds: Tensor | None = None


class CLIPAttention(nn.Module):
    """Each token sees itself and those before it."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        # In this order they stand in lists of parameters.
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.q_proj = Linear(width, width)
        self.out_proj = Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        count, length, width = hidden.shape
        shape = count, length, self.num_heads, width // self.num_heads
        query, key, value = (
            layer(hidden).view(shape).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        found = looking_back(query, key, value)
        given: Tensor = self.out_proj(found.transpose(1, 2).reshape(count, length, width))
        return given


def looking_back(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What queries [B, heads, N, D] find in the keys and values of their own place and of those before it."""
    if not IS_STEP_BY_STEP:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    shape = query.shape
    blank = torch.full(
        (shape[2], shape[2]), torch.finfo(query.dtype).min, dtype=query.dtype, device=query.device
    )
    query, key, value = (
        one.reshape(-1, *one.shape[-2:]) for one in (query * query.shape[-1] ** -0.5, key, value)
    )
    scores = torch.bmm(query, key.transpose(1, 2)) + blank.triu(1)
    return torch.bmm(torch.softmax(scores, dim=-1), value).view(shape)


class CLIPMLP(nn.Module):
    """Each token by itself."""

    def __init__(self, width: int, inner_width: int, activation: str) -> None:
        super().__init__()
        self.activation = activation
        self.fc1 = Linear(width, inner_width)
        self.fc2 = Linear(inner_width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.fc1(hidden)
        hidden = hidden * torch.sigmoid(QUICK * hidden) if self.activation == QUICK_GELU else F.gelu(hidden)
        found: Tensor = self.fc2(hidden)
        return found


class CLIPEncoderLayer(nn.Module):
    def __init__(self, layout: ClipLayout, activation: str) -> None:
        super().__init__()
        self.self_attn = CLIPAttention(layout.width, layout.num_heads)
        self.layer_norm1 = nn.LayerNorm(layout.width)
        self.mlp = CLIPMLP(layout.width, layout.inner_width, activation)
        self.layer_norm2 = nn.LayerNorm(layout.width)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        found: Tensor = hidden + self.mlp(self.layer_norm2(hidden))
        return found


class CLIPTextEmbeddings(nn.Module):
    """What a token is, and where it stands."""

    def __init__(self, layout: ClipLayout) -> None:
        super().__init__()
        self.token_embedding = blank_embedding(layout.vocabulary, layout.width)
        self.position_embedding = blank_embedding(layout.num_positions, layout.width)

    def forward(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[-1], device=input_ids.device)[None]
        found: Tensor = self.token_embedding(input_ids) + self.position_embedding(places)
        return found


class CLIPEncoder(nn.Module):
    def __init__(self, layout: ClipLayout, activation: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList([CLIPEncoderLayer(layout, activation) for _ in range(layout.num_layers)])


class CLIPTextTransformer(nn.Module):
    def __init__(self, layout: ClipLayout, activation: str) -> None:
        super().__init__()
        self.embeddings = CLIPTextEmbeddings(layout)
        self.encoder = CLIPEncoder(layout, activation)
        self.final_layer_norm = nn.LayerNorm(layout.width)


class CLIPTextModel(nn.Module):
    """Token ids to states; with a projection also the state at the end of the text, projected."""

    def __init__(self, layout: ClipLayout, activation: str, end_id: int, *, is_projected: bool) -> None:
        super().__init__()
        self.end_id = end_id
        self.text_model = CLIPTextTransformer(layout, activation)
        self.text_projection = (
            Linear(layout.width, layout.projection_width or layout.width, bias=False)
            if is_projected
            else None
        )

    def forward(self, input_ids: Tensor, *, output_hidden_states: bool = False) -> TextOutput:
        hidden = self.text_model.embeddings(input_ids)
        states = [hidden]
        for layer in self.text_model.encoder.layers:
            hidden = layer(hidden)
            states.append(hidden)
        last = self.text_model.final_layer_norm(hidden)
        return TextOutput(
            last, tuple(states) if output_hidden_states else None, self._projected(input_ids, last)
        )

    def _projected(self, input_ids: Tensor, last: Tensor) -> Tensor | None:
        if self.text_projection is None:
            return None
        # The first end: padding may be the same token.
        ends = (input_ids == self.end_id).int().argmax(dim=-1)
        found: Tensor = self.text_projection(last[torch.arange(len(last), device=last.device), ends])
        return found
