"""The low-rank weights beside one linear layer or convolution.

I: inputs, O: outputs, r: rank, k: kernel. The layer gives W x + strength * (alpha / r) * up(down(x)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.adapters.changes import low_rank_product
from lib_dreambooth.adapters.dropping import Piece, dropped, kept_ranks
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.lora import AdapterModule, lora_shapes


@dataclass(frozen=True)
class Dropouts:
    """Chances, in training alone, of being left out: each value between the matrices, each rank, all of it.

    As in kohya's scripts: values and ranks that stay are made larger, a layer that stays is not.
    """

    values: float = 0.0
    ranks: float = 0.0
    layer: float = 0.0


NO_DROPOUTS = Dropouts()


class LowRank(nn.Module):
    """`down` [r, I] or [r, I, k, k] and `up` [O, r] or [O, r, 1, 1]; `mid` [r, r, k, k] in Tucker's form.

    It computes in the precision of the layer's output, whatever its own is.
    """

    def __init__(
        self,
        down: Tensor,
        up: Tensor,
        alpha: float,
        mid: Tensor | None = None,
        dropouts: Dropouts = NO_DROPOUTS,
    ) -> None:
        super().__init__()
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)
        self.mid = nn.Parameter(mid) if mid is not None else None
        # Files carry it in float32: what was trained with is what a reader finds.
        self.alpha = float(torch.tensor(alpha, dtype=torch.float32))
        self.dropouts = dropouts
        self.piece: Piece | None = None

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def changed(self, output: Tensor, x: Tensor, layer: nn.Module, strength: float = 1.0) -> Tensor:
        """The layer's output for `x` with this added to it."""
        scale = self.scale * strength
        drops = self.dropouts if self.training else NO_DROPOUTS
        # Drawn on the CPU as kohya does, so that nothing waits for the card.
        if drops.layer and float(torch.rand(1)) < drops.layer:
            return output
        hidden = self._lowered(x.to(output.dtype), layer)
        if drops.values:
            hidden = dropped(hidden, drops.values, self.piece)
        if drops.ranks:
            hidden = hidden * kept_ranks(hidden, drops.ranks, self.piece)
            scale /= 1.0 - drops.ranks
        up = self.up.to(output.dtype)
        if up.dim() == 4:
            return torch.add(output, F.conv2d(hidden, up), alpha=scale)
        # Scale and addition inside the product: two passes over the output are saved.
        rows = torch.addmm(
            output.reshape(-1, output.shape[-1]), hidden.reshape(-1, hidden.shape[-1]), up.t(), alpha=scale
        )
        return rows.view(output.shape)

    def _lowered(self, x: Tensor, layer: nn.Module) -> Tensor:
        down = self.down.to(x.dtype)
        if not isinstance(layer, nn.Conv2d):
            return F.linear(x, down)
        if self.mid is None:
            return F.conv2d(x, down, **convolving(layer))
        return F.conv2d(F.conv2d(x, down), self.mid.to(x.dtype), **convolving(layer))

    @torch.no_grad()
    def weight(self) -> Tensor:
        """The change of the layer's weight that this stands for, float32."""
        mid = None if self.mid is None else self.mid.float()
        return low_rank_product(self.up.float(), self.down.float(), mid) * self.scale

    @torch.no_grad()
    def norm(self, layer: nn.Module | None = None) -> Tensor:
        """The length of `weight`, from products of rank x rank where that is possible; one number."""
        if self.mid is not None:
            return self.weight().norm()
        up, down = self.up.float().flatten(1), self.down.float().flatten(1)
        return ((up.t() @ up) * (down @ down.t())).sum().clamp(min=0.0).sqrt() * abs(self.scale)

    @torch.no_grad()
    def limit_norm(self, max_norm: float, layer: nn.Module | None = None) -> Tensor:
        """Shrinks both matrices alike where `norm` is beyond; whether it did, still on its device."""
        norm = self.norm().clamp(min=max_norm / 2)
        factor = (norm.clamp(max=max_norm) / norm).sqrt()
        self.up.mul_(factor)
        self.down.mul_(factor)
        return norm > max_norm

    def changes(self, layer: nn.Module | None = None) -> dict[str, Callable[[], Tensor]]:
        """What is added to the layer's tensors, float32."""
        return {"weight": self.weight}

    def to_file(self) -> AdapterModule:
        """The parts as files have them."""
        parts = {"lora_down": self.down.detach(), "lora_up": self.up.detach()}
        if self.mid is not None:
            parts["lora_mid"] = self.mid.detach()
        return AdapterModule(parts, self.alpha)


def fresh(
    shape: Shape,
    rank: int,
    alpha: float,
    draw: Draw,
    dropouts: Dropouts = NO_DROPOUTS,
    *,
    is_blank: bool = False,
) -> LowRank:
    """New weights that change nothing yet: `up` is zero, `down` even between +-1 / sqrt(fan in).

    A blank one has sizes alone: its layer is on `meta`.
    """
    shapes = lora_shapes(shape, rank)
    bound = 1.0 / math.sqrt(math.prod(shape[1:]))
    count = math.prod(shapes["lora_down"])
    drawn = torch.empty(count, device="meta")
    if not is_blank:
        drawn = torch.from_numpy((2.0 * draw.uniforms(count) - 1.0) * bound).float()
    up = torch.zeros(shapes["lora_up"], device=drawn.device)
    return LowRank(drawn.reshape(shapes["lora_down"]), up, alpha, dropouts=dropouts)


def from_file(module: AdapterModule, shape: Shape, dropouts: Dropouts = NO_DROPOUTS) -> LowRank | None:
    """A file's parts for a layer whose weight has this shape; None where they do not fit it.

    Files have 1x1 convolutions as matrices and linear layers as convolutions; both are meant.
    """
    down, up, mid = (module.parts.get(part) for part in ("lora_down", "lora_up", "lora_mid"))
    if down is None or up is None or down.dim() < 2 or up.dim() < 2 or down.shape[0] != up.shape[1]:
        return None
    rank = down.shape[0]
    wanted = lora_shapes(shape, rank)
    if mid is not None:
        wanted["lora_down"] = (rank, shape[1], *(1 for _ in shape[2:]))
    down, up = reshaped(down, wanted["lora_down"]), reshaped(up, wanted["lora_up"])
    if down is None or up is None or (mid is not None and mid.shape != (rank, rank, *shape[2:])):
        return None
    # Not by way of the scale: dividing by the rank and multiplying again can lose the last bit.
    is_plain = module.alpha is not None and "scale" not in module.parts
    alpha = module.alpha if is_plain else module.scale * rank
    return LowRank(down, up, alpha or 0.0, mid, dropouts)


def convolving(layer: nn.Conv2d) -> Any:
    """How a convolution goes over its input, for `F.conv2d`."""
    return {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}


def reshaped(tensor: Tensor, shape: Shape) -> Tensor | None:
    """The tensor in a shape that differs in sizes of 1 at the end only."""
    longer, shorter = sorted((tuple(tensor.shape), shape), key=len, reverse=True)
    is_same = longer[: len(shorter)] == shorter and all(size == 1 for size in longer[len(shorter) :])
    return tensor.reshape(shape) if is_same else None
