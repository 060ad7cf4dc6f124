"""Linear layers of one input as one product, with the plain networks beside them, and its gradient by hand.

N: rows, that is tokens of all pictures; I: inputs; O: outputs; r: rank; n: layers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.joint import below, each, packed, scaled, scaled_each
from lib_dreambooth.adapters.low_rank import LowRank

Learned = tuple[Tensor | None, ...]


class Operands(NamedTuple):
    """What a product is made of in one pass, in the numbers that it is computed in."""

    base: Tensor  # [n O, I]
    bias: Tensor | None  # [n O]
    down: Tensor | None  # [n r, I]
    up: Tensor | None  # [n O, r]
    scale: float
    num_layers: int
    learned_dtype: torch.dtype
    is_learned: bool
    is_map: bool


class Product:
    """Layers of one input and one shape; either all of them have a network of one shape and scale, or none.

    Linear ones, or one 1x1 convolution, which is the same to every place of a map.
    """

    def __init__(self, layers: Sequence[Any], networks: Sequence[LowRank]) -> None:
        assert len(networks) in (0, len(layers))
        self.is_map = isinstance(layers[0], nn.Conv2d)
        self.weights = [layer.weight for layer in layers]
        self.biases = [layer.bias for layer in layers if layer.bias is not None]
        self.downs = [network.down for network in networks]
        self.ups = [network.up for network in networks]
        self.learned = [part for network in networks for part in (network.down, network.up)]
        self._scale = networks[0].scale if networks else 1.0

    def operands(self, strength: float) -> Operands:
        """As the weights are now."""
        base = packed(self.weights)
        if self.is_map:
            base = base.flatten(1)
        bias = packed(self.biases) if self.biases else None
        count = len(self.weights)
        if not self.learned:
            return Operands(base, bias, None, None, 1.0, count, base.dtype, False, self.is_map)
        down, up = packed(self.downs).to(base.dtype), packed(self.ups).to(base.dtype)
        if self.is_map:
            down, up = down.flatten(1), up.flatten(1)
        first = self.learned[0]
        scale = self._scale * strength
        return Operands(base, bias, down, up, scale, count, first.dtype, first.requires_grad, self.is_map)


def multiplied(rows: Tensor, made_of: Operands) -> tuple[Tensor, Tensor | None]:
    """Of rows [N, I] the outputs [N, n O], and what the networks have in between [N, n r], scaled."""
    base, bias, down, up, scale, count = made_of[:6]
    made = rows.mm(base.t()) if bias is None else torch.addmm(bias, rows, base.t())
    if down is None or up is None:
        return made, None
    hidden = scaled(rows, down.t(), scale)
    if count == 1:
        made.addmm_(hidden, up.t())
    else:
        each(made, count).baddbmm_(each(hidden, count), below(up, count).transpose(1, 2))
    return made, hidden


def gradients(
    gradient: Tensor, rows: Tensor, hidden: Tensor | None, made_of: Operands, *, of_rows: bool = True
) -> tuple[Tensor | None, Learned]:
    """What follows from the outputs' gradient [N, n O]: that of the rows, and those of all downs and ups."""
    base, _, down, up, scale, count, dtype, is_learned, is_map = made_of
    through = gradient.mm(base) if of_rows else None
    if down is None or up is None or hidden is None:
        return through, ()
    if count == 1:
        lowered = scaled(gradient, up, scale)
    else:
        stacked = scaled_each(each(gradient, count), below(up, count), scale)
        lowered = stacked.transpose(0, 1).reshape(hidden.shape)
    if through is not None:
        through.addmm_(lowered, down)
    if not is_learned:
        return through, (None,) * (2 * count)
    of_down = lowered.t().mm(rows).to(dtype)
    if count == 1:
        of_up = gradient.t().mm(hidden).to(dtype)
        return through, (of_down[..., None, None], of_up[..., None, None]) if is_map else (of_down, of_up)
    of_up = each(gradient, count).transpose(1, 2).bmm(each(hidden, count)).to(dtype)
    pairs = zip(of_down.chunk(count), of_up.unbind(), strict=True)
    return through, tuple(one for pair in pairs for one in pair)
