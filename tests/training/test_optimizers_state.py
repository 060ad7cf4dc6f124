"""Every accepted optimizer goes on from its state bit for bit."""

from __future__ import annotations

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.training.optimizers.building import ONLY_MATRICES, new_optimizer
from lib_dreambooth.training.optimizers.finding import against, library_module
from lib_dreambooth.training.optimizers.names import (
    BITSANDBYTES,
    OF_BITSANDBYTES,
    PYTORCH_OPTIMIZER,
    REFUSED,
    Known,
    table,
)
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from tests.training.made_parts import (
    SHAPES,
    MadePart,
    copy_weights,
    made_parts,
    plan_of,
    same,
    take_steps,
    through_files,
    weights_of,
)

NUM_STEPS, STOPPED_AT = 11, 5
# Searches that are as exact with fewer rounds.
QUICK = {"SpectralSphere": {"power_iteration_steps": 4, "solver_max_iterations": 2}}
# Each of these libraries' optimizers once more with half-precision weights.
HALF = ("AdamW", "Lion", "AdaFactor", "CAME", "Prodigy", "AdamWScheduleFree", "AdamMini", "Muon")


def needed(known: Known) -> list[pytest.MarkDecorator]:
    if known.library == BITSANDBYTES:
        # Older ones need a card.
        return [pytest.mark.needs("bitsandbytes>=0.50")]
    return [pytest.mark.needs("pytorch-optimizer>=4.1")] if known.library == PYTORCH_OPTIMIZER else []


# Those that most people choose; the others belong to the full run.
EVERYDAY = ("AdamW", "AdamW8bit", "Lion", "AdaFactor", "Prodigy", "AdamWScheduleFree", "CAME")

EVERY = [
    pytest.param(
        known, id=known.name, marks=needed(known) + ([] if known.name in EVERYDAY else [pytest.mark.slow])
    )
    for known in table().values()
]


def optimizer_over(known: Known, parts: list[MadePart]) -> Optimizer:
    rate = 1.0 if known.finds_rate else 1e-2
    tables = {
        "optimizer": {"name": known.name, "max_grad_norm": 1.0, "arguments": QUICK.get(known.name, {})},
        "rates": {"learning_rate": rate, "schedule": "cosine", "floor": 0.1},
        "parts": {"text_encoder_1": {"rate": rate / 2}},
    }
    return new_optimizer(settings.read(tables).run, parts, plan_of(NUM_STEPS))


def parts_for(known: Known, dtype: torch.dtype = torch.float32) -> list[MadePart]:
    shapes = [shape for shape in SHAPES if len(shape) == 2 or known.class_name not in ONLY_MATRICES]
    return made_parts(shapes, dtype)


def goes_on_exactly(known: Known, dtype: torch.dtype) -> None:
    straight = parts_for(known, dtype)
    take_steps(optimizer_over(known, straight), straight, 0, NUM_STEPS)

    stopped = parts_for(known, dtype)
    first = optimizer_over(known, stopped)
    take_steps(first, stopped, 0, STOPPED_AT)
    tensors, tree = through_files(first)

    resumed = parts_for(known, dtype)
    copy_weights(stopped, resumed)
    second = optimizer_over(known, resumed)
    second.load(tensors, tree)
    take_steps(second, resumed, STOPPED_AT, NUM_STEPS)

    assert same(weights_of(resumed), weights_of(straight))
    assert all(torch.isfinite(weight).all() for weight in weights_of(straight))
    assert not same(weights_of(straight), weights_of(stopped))


@pytest.mark.parametrize("known", EVERY)
def test_a_state_goes_on_bit_for_bit(known: Known) -> None:
    goes_on_exactly(known, torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("name", HALF)
def test_a_state_of_half_weights_goes_on_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    goes_on_exactly(table()[name.lower()], dtype)


@pytest.mark.needs("pytorch-optimizer>=4.1")
def test_every_class_of_pytorch_optimizer_is_accepted_or_refused_by_name() -> None:
    import pytorch_optimizer

    named = {known.class_name for known in table().values() if known.library == PYTORCH_OPTIMIZER} | {
        *REFUSED
    }
    classes = {
        name
        for name, value in vars(pytorch_optimizer).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    # Ours are torch's under these names.
    assert classes - named - {"AdamW", "SGD", "BaseOptimizer", "Optimizer"} == set()


@pytest.mark.needs("bitsandbytes>=0.45")
def test_every_class_of_bitsandbytes_is_accepted_or_refused_by_name() -> None:
    classes = {
        name
        for name, value in vars(library_module(BITSANDBYTES)).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    without_bits = {"AdEMAMix", "Adagrad", "Adam", "AdamW", "LAMB", "LARS", "Lion", "RMSprop", "SGD"}
    known = {known.class_name for known in table().values() if known.library == BITSANDBYTES}
    assert classes - without_bits - known - {*REFUSED} == set()
    assert set(OF_BITSANDBYTES) <= classes


@pytest.mark.needs("bitsandbytes<0.50")
def test_an_old_bitsandbytes_says_that_it_needs_a_card() -> None:
    assert "needs an NVIDIA card" in against(BITSANDBYTES, "AdamW8bit", "cpu")
