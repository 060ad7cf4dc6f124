"""An optimizer's memory as named tensors beside JSON, and back, bit for bit.

What is not a number, a text, a tensor or a container of these is refused rather than left out: a state that
lacks something goes on differently without saying so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

Json = Any
Tensors = MutableMapping[str, Tensor]

KIND = "kind"
SEQUENCES: dict[str, type[list[Any]] | type[tuple[Any, ...]]] = {"list": list, "tuple": tuple}


class NotPlain(TypeError):
    """Something that has no exact form in tensors and JSON."""


def place_name(tensor: Tensor) -> str:
    """The kind of device that a tensor is on."""
    return tensor.device.type


def to_tree(value: Any, name: str, tensors: Tensors, place: Callable[[Tensor], str] = place_name) -> Json:
    """The JSON form of `value`; its tensors go into `tensors` under names that begin with `name`.

    `place` says on which kind of device a tensor is at work.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        # As hexadecimal, infinities and all bits survive every JSON reader.
        return {KIND: "float", "value": value.hex()}
    if isinstance(value, Tensor) and value.numel() == 0:
        # Some readers of safetensors cannot take one without numbers.
        dtype = str(value.dtype).removeprefix("torch.")
        return {KIND: "empty", "shape": list(value.shape), "dtype": dtype, "on": place(value)}
    if isinstance(value, Tensor):
        tensors[name] = value.detach().contiguous()
        tree = {KIND: "tensor", "name": name, "on": place(value)}
        # Sums over another order of numbers in memory differ in their last bits.
        return tree if value.is_contiguous() else tree | {"stride": list(value.stride())}
    if isinstance(value, torch.dtype):
        return {KIND: "dtype", "value": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {KIND: "device", "value": str(value)}
    if isinstance(value, torch.Generator):
        tensors[name] = value.get_state()
        return {KIND: "generator", "name": name, "device": str(value.device)}
    if isinstance(value, Mapping):
        if any(isinstance(key, Tensor) for key in value):
            raise NotPlain(f"{name} goes by tensors, which are others after a load")
        pairs = [
            [
                to_tree(key, f"{name}/key{number}", tensors, place),
                to_tree(item, f"{name}/{key}", tensors, place),
            ]
            for number, (key, item) in enumerate(value.items())
        ]
        return {KIND: "map", "pairs": pairs}
    if isinstance(value, deque):
        items = [to_tree(item, f"{name}/{number}", tensors, place) for number, item in enumerate(value)]
        return {KIND: "deque", "items": items, "longest": value.maxlen}
    for kind, made in SEQUENCES.items():
        if type(value) is made:
            items = [to_tree(item, f"{name}/{number}", tensors, place) for number, item in enumerate(value)]
            return {KIND: kind, "items": items}
    raise NotPlain(f"{name} is of {type(value).__module__}.{type(value).__qualname__}")


def from_tree(tree: Json, tensors: Mapping[str, Tensor], device: torch.device, moves_all: bool = True) -> Any:
    """What `to_tree` was given; tensors are copies on `device`.

    Without `moves_all`, those that were on the CPU stay there: step counts beside weights on a card.
    """
    if not isinstance(tree, dict):
        return tree
    kind = tree[KIND]
    if kind == "float":
        return float.fromhex(tree["value"])
    home = device if moves_all or tree.get("on") != "cpu" else torch.device("cpu")
    if kind == "empty":
        return torch.empty(tree["shape"], dtype=getattr(torch, tree["dtype"]), device=home)
    if kind == "tensor":
        kept = tensors[tree["name"]].detach()
        if "stride" not in tree:
            return kept.to(home, copy=True)
        return torch.empty_strided(kept.shape, tree["stride"], dtype=kept.dtype, device=home).copy_(kept)
    if kind == "dtype":
        return getattr(torch, tree["value"])
    if kind == "device":
        return torch.device(tree["value"])
    if kind == "generator":
        generator = torch.Generator(tree["device"])
        generator.set_state(tensors[tree["name"]].cpu())
        return generator
    if kind == "map":
        pairs = tree["pairs"]
        return {
            from_tree(key, tensors, device, moves_all): from_tree(item, tensors, device, moves_all)
            for key, item in pairs
        }
    items = [from_tree(item, tensors, device, moves_all) for item in tree["items"]]
    return deque(items, tree["longest"]) if kind == "deque" else SEQUENCES[kind](items)
