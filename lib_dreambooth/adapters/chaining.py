"""Networks one after the other: a change that depends on the weight starts from what the last one left."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.attached import Attached, Beside
from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.formats.adapter_names import Target


def depends_on_weight(beside: Beside) -> bool:
    """Whether what a network adds to a layer depends on what the layer's weight is."""
    return isinstance(beside, Dense) and beside.depends_on_weight


def with_weight(layer: nn.Module, weight: Tensor) -> nn.Module:
    """The layer as a network sees it, with another weight; the layer itself stays as it is."""
    seen = copy.copy(layer)
    seen._parameters = {**layer._parameters, "weight": nn.Parameter(weight, requires_grad=False)}
    return seen


@torch.no_grad()
def seen_after(
    earlier: Sequence[Attached], adapters: Mapping[Target, Beside], layer_of: Callable[[Target], nn.Module]
) -> dict[Target, nn.Module]:
    """The layers that networks behind others take for the model's own, as in WebUIs."""
    found: dict[Target, nn.Module] = {}
    for target, beside in adapters.items():
        before = [one for one in earlier if target in one.adapters and one.strengths[target.part]]
        if not before or not depends_on_weight(beside):
            continue
        layer = layer_of(target)
        weight: Tensor = layer.get_parameter("weight")
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        for one in before:
            added = one.adapters[target].changes(one.seen(target))["weight"]()
            weight = weight + one.strengths[target.part] * added.to(weight).reshape(weight.shape)
        found[target] = with_weight(layer, weight)
    return found
