"""What optimizers are forecast to remember, against what they do remember after a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth import settings
from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.forecast.heap import Heap
from lib_dreambooth.forecast.meter import Meter
from lib_dreambooth.forecast.remembered import moving_bytes, remembered_bytes
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.training.optimizers.arguments import checked
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.optimizers.finding import find, library_module
from tests.training.made_parts import plan_of

SHAPES = [(64, 32), (64,), (8, 4, 3, 3)]
# A few numbers for a whole weight: step counts, norms.
SLACK = 200


def kept_by(name: str, arguments: dict[str, Any]) -> int:
    """Bytes of all tensors that stand beside the weights after a step."""
    known = find(name, "cpu")
    made: Any = getattr(library_module(known.library), known.class_name)
    weights = [nn.Parameter(torch.ones(shape)) for shape in SHAPES]
    optimizer = made(weights, lr=1e-3, **checked(known, made, arguments))
    for weight in weights:
        weight.grad = torch.full_like(weight, 0.1)
    optimizer.step()
    tensors = [one for state in optimizer.state.values() for one in state.values() if isinstance(one, Tensor)]
    return sum(one.numel() * one.element_size() for one in tensors)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("AdamW", {}),
        ("Lion", {}),
        ("AdaFactor", {}),
        ("AdaFactor", {"betas": [0.9, 0.999]}),
        ("CAME", {}),
        ("AdamWScheduleFree", {}),
    ],
)
def test_what_is_remembered(name: str, arguments: dict[str, Any]) -> None:
    truly = kept_by(name, arguments)
    assert abs(remembered_bytes(name, SHAPES, arguments) - truly) <= SLACK


@pytest.mark.needs("torch>=2.4")
def test_moving_a_weight_in_half_precision_takes_what_is_said() -> None:
    run = settings.read(
        {
            "network": {"kind": "none"},
            "optimizer": {"name": "AdaFactor", "max_grad_norm": 0},
            "precision": {"mixed": "bf16", "weights": "half"},
        }
    ).run
    weight = nn.Parameter(torch.ones(256, 256, dtype=torch.bfloat16))
    (mover,) = new_optimizer(run, [Part("w", weight, UNET)], plan_of(4)).moving()
    said = moving_bytes("AdaFactor", [(256, 256)], is_half=True, kind="cuda", one_by_one=True)
    for _ in range(2):
        weight.grad = torch.full_like(weight, 0.1)
        meter = Meter(heap=Heap())
        with meter:
            meter.restart()
            mover.step(None, rounds=True, seed=1)
    assert 0.9 * said <= meter.largest <= said


def test_adafactor_keeps_no_momentum_unless_asked_for() -> None:
    assert remembered_bytes("AdaFactor", SHAPES) < remembered_bytes("AdamW", SHAPES) / 10


def test_half_weights_are_lifted_a_portion_at_a_time_or_all() -> None:
    shapes = [(4096, 4096)] * 8
    numbers = 8 * 4096 * 4096

    def moving(*, in_portions: bool, kind: str = "cuda") -> int:
        return moving_bytes(
            "Prodigy", shapes, is_half=True, kind=kind, one_by_one=False, in_portions=in_portions
        )

    assert moving(in_portions=False) > 4 * 2 * numbers > 2 * moving(in_portions=True)
    assert moving(in_portions=True, kind="cpu") > moving(in_portions=True)


def test_a_move_by_lists_takes_a_copy_of_all_weights() -> None:
    shapes = [(64, 32), (16, 16)]

    def moving(in_lists: bool, *, one_by_one: bool = False) -> int:
        return moving_bytes(
            "AdamW", shapes, is_half=False, kind="cpu", one_by_one=one_by_one, in_lists=in_lists
        )

    assert moving(True) == 4 * (64 * 32 + 16 * 16)
    assert moving(False) == moving(True, one_by_one=True) == 4 * 2 * 64 * 32
