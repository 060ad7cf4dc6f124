"""Which layers are computed together with their networks, and the switch that does so for the steps."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.joint import Joint, is_joinable
from lib_dreambooth.adapters.low_rank import LowRank
from lib_dreambooth.base.forwards import forwards_taken
from lib_dreambooth.formats.adapter_names import Target

# Layers of an attention that read the same tensor, first the one that is asked first.
OF_ONE_INPUT = (
    ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    ("attn2.to_k", "attn2.to_v"),
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
)


@contextmanager
def joined(network: Attached) -> Iterator[int]:
    """While inside, layers compute together with plain networks beside them; gives how many layers do.

    Passes without gradients, those for pictures, go the usual way: they give what files give.
    """
    targets = [target for group in groups(network) for target in group]
    with network.unhooked(targets), forwards_taken() as take:
        for group in groups(network):
            layers = [network.layer(target) for target in group]
            networks = [network.adapters[target] for target in group]
            assert all(isinstance(one, LowRank) for one in networks)
            joint = Joint(layers, networks)  # type: ignore[arg-type]
            for place, (target, layer) in enumerate(zip(group, layers, strict=True)):
                strengths, part = network.strengths, target.part
                take(layer, functools.partial(output, joint, place, layer.forward, strengths, part))
        yield len(targets)


def output(
    joint: Joint, place: int, plain: Any, strengths: Mapping[str, float], part: str, x: Tensor
) -> Tensor:
    """What a layer gives with its network at work."""
    strength = strengths[part]
    if strength and torch.is_grad_enabled() and joint.fits(x):
        return joint.output(place, x, strength)
    found: Tensor = plain(x)
    return joint.networks[place].changed(found, x, joint.layers[place], strength) if strength else found


def groups(network: Attached) -> list[list[Target]]:
    """The layers that can be joined with their networks, those of one input together."""
    single = {
        target: [target]
        for target, beside in network.adapters.items()
        if is_joinable(beside, network.layer(target))
    }
    for target in list(single):
        for names in OF_ONE_INPUT:
            if not target.path.endswith(f".{names[0]}"):
                continue
            stem = target.path.removesuffix(names[0])
            members = [Target(target.part, f"{stem}{name}") for name in names]
            if all(member in single for member in members) and are_alike(network, members):
                single[target] = members
                for member in members[1:]:
                    del single[member]
    return list(single.values())


def are_alike(network: Attached, members: list[Target]) -> bool:
    """Whether layers and networks have the same shapes and scales."""
    found = set()
    for member in members:
        beside, layer = network.adapters[member], network.layer(member)
        assert isinstance(beside, LowRank)
        shapes = [tuple(one.shape) for one in (beside.down, beside.up, weight_of(layer))]
        found.add((beside.scale, layer.bias is None, beside.down.dtype, *shapes))
    return len(found) == 1


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a linear layer or a convolution."""
    assert isinstance(layer.weight, Tensor)
    return layer.weight
