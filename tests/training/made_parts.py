"""Small trained parts and gradients for tests of what moves them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor, nn

from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.settings.length import LengthPlan, plan_epoch
from lib_dreambooth.training.optimizers.optimizer import Optimizer

SHAPES = ((8, 6), (6,), (4, 3, 3, 3), (5, 4, 1, 1), (70, 64), (6, 5))


@dataclass(frozen=True, eq=False)
class MadePart:
    name: str
    parameter: nn.Parameter
    part: str = UNET
    rate: float = 1.0


def made_parts(
    shapes: Sequence[tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float32
) -> list[MadePart]:
    """UNet weights, the last two of a text encoder, one at twice the rate; the same each time."""
    generator = torch.Generator().manual_seed(7)
    made = []
    for number, shape in enumerate(shapes):
        weight = nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        part = TEXT if number >= len(shapes) - 2 else UNET
        made.append(MadePart(f"{part}.layer{number}.weight", weight, part, 2.0 if number == 1 else 1.0))
    return made


def plan_of(num_steps: int | None, steps_per_epoch: int = 10) -> LengthPlan:
    return LengthPlan(plan_epoch([steps_per_epoch], 1), num_steps)


def give_gradients(parts: Sequence[MadePart], step: int, scale: float = 0.1) -> None:
    """Gradients that depend on the step and on the weights."""
    generator = torch.Generator().manual_seed(1000 + step)
    for part in parts:
        weight = part.parameter
        noise = torch.randn(weight.shape, generator=generator)
        weight.grad = (scale * (noise + weight.detach().float())).to(weight.dtype)


def take_steps(optimizer: Optimizer, parts: Sequence[MadePart], first: int, after: int) -> None:
    for step in range(first, after):
        torch.manual_seed(step)  # as the loop does for what draws inside a library
        give_gradients(parts, step)
        optimizer.set_rates(step)
        optimizer.clip()
        optimizer.step()
        optimizer.zero_grad()


def through_files(optimizer: Optimizer) -> tuple[dict[str, Tensor], object]:
    """A state as it comes back from safetensors bytes and JSON text."""
    tensors, tree = optimizer.state()
    data = safetensors.torch.save({name: tensor.clone() for name, tensor in tensors.items()})
    return safetensors.torch.load(data), json.loads(json.dumps(tree, allow_nan=False))


def copy_weights(source: Sequence[MadePart], target: Sequence[MadePart]) -> None:
    with torch.no_grad():
        for one, other in zip(source, target, strict=True):
            other.parameter.copy_(one.parameter)


def weights_of(parts: Sequence[MadePart]) -> list[Tensor]:
    return [part.parameter.detach().clone() for part in parts]


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
