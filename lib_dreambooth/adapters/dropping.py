"""What is left out by chance: drawn for all pictures of a batch, also where it is taken in pieces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """The rows of a batch of `count` pictures that are computed together; what is drawn is drawn for all."""

    rows: slice
    count: int


def dropped(values: Tensor, chance: float, piece: Piece | None = None) -> Tensor:
    """The values with some left out and the others made larger; the first dimension is of pictures."""
    if piece is None:
        return F.dropout(values, chance)
    is_last = values.dim() == 4 and not values.is_contiguous()
    ones = torch.empty(
        (piece.count, *values.shape[1:]),
        dtype=values.dtype,
        device=values.device,
        memory_format=torch.channels_last if is_last else torch.contiguous_format,
    )
    return values * F.dropout(ones.fill_(1.0), chance)[piece.rows]


def kept_ranks(hidden: Tensor, chance: float, piece: Piece | None = None) -> Tensor:
    """For each picture which ranks stay, in the shape that multiplies `hidden`."""
    is_map = hidden.dim() == 4
    count = hidden.shape[0] if piece is None else piece.count
    rank = hidden.shape[1] if is_map else hidden.shape[-1]
    kept = torch.rand((count, rank), device=hidden.device) > chance
    if piece is not None:
        kept = kept[piece.rows]
    if is_map:
        kept = kept[:, :, None, None]
    elif hidden.dim() == 3:
        kept = kept[:, None, :]
    return kept.to(hidden.dtype)
