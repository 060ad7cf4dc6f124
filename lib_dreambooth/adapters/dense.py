"""A network whose change of the weight is worked out whole and then used like a layer of its own.

Every kind but plain LoRA is of that sort. What a file would hold is what is computed with, in training too:
so a file that is read back gives the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lib_dreambooth.adapters.changes import (
    FULL,
    GLORA,
    IA3,
    LOHA,
    LOKR,
    LORA,
    OFT,
    Form,
    Parts,
    change_of,
    product_of,
)
from lib_dreambooth.adapters.dropping import Piece, dropped
from lib_dreambooth.adapters.low_rank import NO_DROPOUTS, Dropouts, convolving
from lib_dreambooth.formats.lora import AdapterModule

SCALAR, BIAS = "scalar", "diff_b"
# What a trained scale is multiplied into when a file is written: the first of these that a network has.
SCALED = ("hada_w1_a", "lokr_w1", "lokr_w1_a")
# WebUIs leave alpha of GLoRA aside, so that it has to stand in its second matrices.
GLORA_SCALED = ("a2", "b2")
# Which parts a length is shrunk by, and how many of them are factors of each other; OFT has no such parts.
SHRUNK: Mapping[str, tuple[str, ...]] = {
    LORA: ("lora_up", "lora_down"),
    LOHA: ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    LOKR: ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"),
    GLORA: ("a1", "a2", "b1", "b2"),
    FULL: ("diff", BIAS),
    IA3: ("weight",),
}
NUM_FACTORS = {GLORA: 2, FULL: 1}
# Parts that the change before DoRA is proportional to.
LINEAR: Mapping[str, tuple[str, ...]] = {LORA: ("lora_up",), LOHA: SCALED, LOKR: SCALED, GLORA: GLORA_SCALED}


class Dense(nn.Module):
    """LoHa, LoKr, (IA)3, OFT, GLoRA, full differences, or DoRA: the tensors of one layer.

    Parameters carry the names that files give to parts; `scalar` alone is not in files. It works in float32
    at least, whatever its own precision and the layer's are.
    """

    def __init__(
        self,
        kind: str,
        parts: Mapping[str, Tensor],
        alpha: float | None = None,
        dropouts: Dropouts = NO_DROPOUTS,
        *,
        is_on_input: bool = False,
        scalar: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        # Files carry it in float32: what was trained with is what a reader finds.
        self.alpha = None if alpha is None else float(torch.tensor(alpha, dtype=torch.float32))
        self.dropouts = dropouts
        self.piece: Piece | None = None
        self.is_on_input = is_on_input
        trained = parts if scalar is None else {**parts, SCALAR: scalar}
        for name, tensor in trained.items():
            self.register_parameter(name, nn.Parameter(tensor))

    @property
    def rank(self) -> int | None:
        """None where nothing is of low rank."""
        return AdapterModule(self._own()).rank

    @property
    def scale(self) -> float:
        """What the product is multiplied with."""
        return AdapterModule(self._own(), self.alpha).scale

    @property
    def depends_on_weight(self) -> bool:
        """Whether another weight would be changed in another way."""
        return self.kind in (IA3, GLORA, OFT) or hasattr(self, "dora_scale")

    @property
    def has_scalar(self) -> bool:
        """Whether a factor on all of it is trained too."""
        return isinstance(getattr(self, SCALAR, None), nn.Parameter)

    def with_scalar(self) -> Dense:
        """The same with a trained factor of 1."""
        return Dense(self.kind, self._own(), self.alpha, self.dropouts, scalar=torch.ones(()))

    def changed(self, output: Tensor, x: Tensor, layer: nn.Module, strength: float = 1.0) -> Tensor:
        """The layer's output for `x` with this added to it."""
        drops = self.dropouts if self.training else NO_DROPOUTS
        # Drawn on the CPU as kohya does, so that nothing waits for the card.
        if drops.layer and float(torch.rand(1)) < drops.layer:
            return output
        kept = None
        if drops.ranks:
            kept = (torch.rand(output.shape[_outputs_at(layer)]) > drops.ranks).to(output.device)
        added = functools.partial(self._added, layer=layer, kept=kept)
        x = x.to(output.dtype)
        if torch.is_grad_enabled():
            # The change is as large as the layer's weight: it is made again rather than kept for all layers.
            found = checkpoint(added, x, use_reentrant=False, preserve_rng_state=False)
        else:
            found = added(x)
        if drops.values:
            found = dropped(found, drops.values, self.piece)
        return torch.add(output, found, alpha=strength)

    def _added(self, x: Tensor, *, layer: nn.Module, kept: Tensor | None) -> Tensor:
        with uncast(x):
            change = self._change(layer, kept).to(x.dtype)
            bias = self._own().get(BIAS)
            bias = None if bias is None else bias.to(x.dtype)
            if isinstance(layer, nn.Conv2d):
                return F.conv2d(x, change, bias, **convolving(layer))
            return F.linear(x, change, bias)

    def _change(self, layer: nn.Module, kept: Tensor | None = None) -> Tensor:
        form, parts = self._as_in_file()
        weight = _weight_of(layer, parts)
        change = change_of(form, parts, weight)
        return change if kept is None else change * kept.reshape(-1, *(1 for _ in change.shape[1:]))

    def _own(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.named_parameters() if name != SCALAR}

    def _folded(self) -> dict[str, Tensor]:
        """The parts as a file has them: with everything in them that files have no place for."""
        parts = self._own()
        if self.kind == GLORA:
            parts |= {name: parts[name] * self.scale for name in GLORA_SCALED}
        if self.has_scalar:
            name = next(name for name in SCALED if name in parts)
            parts[name] = parts[name] * self.get_parameter(SCALAR)
        if self.kind == IA3:
            parts["on_input"] = torch.tensor(int(self.is_on_input))
        return parts

    def _as_in_file(self) -> tuple[Form, Parts]:
        parts = self._folded()
        wide = {
            name: tensor
            if name == "on_input"
            else tensor.to(torch.promote_types(tensor.dtype, torch.float32))
            for name, tensor in parts.items()
        }
        if self.kind == OFT:
            blocks = parts.get("oft_blocks")
            # A bound for each output.
            num_outputs = 0 if blocks is None else blocks.shape[-3] * blocks.shape[-1]
            return Form(OFT, bound=(self.alpha or 0.0) * num_outputs), wide
        return Form(self.kind, 1.0 if self.kind == GLORA else self.scale), wide

    @torch.no_grad()
    def weight_for(self, layer: nn.Module) -> Tensor:
        """The change of the layer's weight that this stands for."""
        return self._change(layer)

    @torch.no_grad()
    def norm(self, layer: nn.Module) -> Tensor:
        """The length of the change; one number."""
        length = self._change(layer).norm()
        bias = self._own().get(BIAS)
        return length if bias is None else torch.stack([length, bias.to(length.dtype).norm()]).norm()

    @torch.no_grad()
    def limit_norm(self, max_norm: float, layer: nn.Module) -> Tensor:
        """Shrinks all factors alike where the change is longer, DoRA's lengths aside; whether it did."""
        own = self._own()
        shrunk = [own[name] for name in SHRUNK.get(self.kind, ()) if name in own]
        if not shrunk:
            return next(self.parameters()).new_zeros((), dtype=torch.bool)
        form, parts = self._as_in_file()
        lengths = [product_of(form, parts, _weight_of(layer, parts)).norm()]
        lengths += [parts[BIAS].norm()] if BIAS in parts else []
        norm = torch.stack(lengths).norm().clamp(min=max_norm / 2)
        num_factors = NUM_FACTORS.get(self.kind, len(shrunk))
        factor = (norm.clamp(max=max_norm) / norm) ** (1.0 / num_factors)
        for tensor in shrunk:
            tensor.mul_(factor)
        return norm > max_norm

    @torch.no_grad()
    def take(self, other: Dense) -> bool:
        """Takes another's values where all sizes are the same; what it did, this does then."""
        own, theirs = self._own(), other._own()
        if self.kind != other.kind or {name: tensor.shape for name, tensor in own.items()} != {
            name: tensor.shape for name, tensor in theirs.items()
        }:
            return False
        for name, tensor in own.items():
            tensor.copy_(theirs[name])
        for name in LINEAR.get(self.kind, ()) if self.scale != other.scale else ():
            if name in own:
                own[name].mul_(other.scale / self.scale)
        if self.has_scalar:
            self.get_parameter(SCALAR).fill_(1.0)
        return True

    def changes(self, layer: nn.Module) -> dict[str, Callable[[], Tensor]]:
        """What is added to the layer's tensors."""
        found: dict[str, Callable[[], Tensor]] = {"weight": lambda: self.weight_for(layer)}
        bias = self._own().get(BIAS)
        if bias is not None:
            found["bias"] = bias.detach().float
        return found

    @torch.no_grad()
    def to_file(self) -> AdapterModule:
        """The parts as hosts read them."""
        parts = {name: tensor.detach() for name, tensor in self._folded().items()}
        # GLoRA's scale stands in its parts.
        return AdapterModule(parts, float(self.rank or 1) if self.kind == GLORA else self.alpha)


def uncast(x: Tensor) -> AbstractContextManager[Any]:
    """No mixed precision for a block; on `meta`, where forecasts are made, that is a mode for functions."""
    if x.is_meta:
        return torch._C.DisableTorchFunction()
    return torch.autocast(x.device.type, enabled=False)


def _outputs_at(layer: nn.Module) -> int:
    return 1 if isinstance(layer, nn.Conv2d) else -1


def _weight_of(layer: nn.Module, parts: Parts) -> Tensor:
    """The layer's weight in the precision of the parts."""
    dtype = next(tensor.dtype for name, tensor in parts.items() if name != "on_input")
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach().to(dtype)
