"""Weights for use beside those that are trained, and rates that an optimizer finds itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.optimizers.finding import find
from lib_dreambooth.training.optimizers.names import CLOSURE, REFUSED, Known, table
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from tests.training.made_parts import (
    MadePart,
    give_gradients,
    made_parts,
    plan_of,
    same,
    take_steps,
    through_files,
    weights_of,
)
from tests.training.test_optimizers_state import EVERY, needed, optimizer_over, parts_for

SWITCHING = {
    "AdamWScheduleFree",
    "RAdamScheduleFree",
    "SGDScheduleFree",
    "ScheduleFreeAdamW",
    "ScheduleFreeRAdam",
    "ScheduleFreeSGD",
    "SPlus",
}
FINDERS = [
    pytest.param(known, id=known.name, marks=needed(known)) for known in table().values() if known.finds_rate
]


@pytest.mark.parametrize("known", EVERY)
def test_looking_at_the_weights_for_use_never_changes_what_is_trained(known: Known) -> None:
    straight, looked = parts_for(known), parts_for(known)
    # RAdam's weights for use are the trained ones at first.
    count = 8 if known.name in SWITCHING else 3
    take_steps(optimizer_over(known, straight), straight, 0, count)
    optimizer = optimizer_over(known, looked)
    for step in range(count):
        live = weights_of(looked)
        with optimizer.evaluating():
            if step == count - 1:
                assert same(weights_of(looked), live) is (known.name not in SWITCHING)
        assert same(weights_of(looked), live)
        take_steps(optimizer, looked, step, step + 1)
    assert same(weights_of(looked), weights_of(straight))


@pytest.mark.needs("pytorch-optimizer>=4.1")
@pytest.mark.parametrize("name", sorted(SWITCHING))
def test_a_part_that_does_not_move_yet_or_any_more_can_be_looked_at(name: str) -> None:
    parts = made_parts()
    tables: dict[str, Any] = {
        "optimizer": {"name": name},
        "rates": {"learning_rate": 0.1},
        "parts": {"text_encoder_1": {"start": "2 steps", "stop": "4 steps"}},
    }
    optimizer = new_optimizer(settings.read(tables).run, parts, plan_of(10))
    for step in range(6):
        take_steps(optimizer, parts, step, step + 1)
        before = weights_of(parts)
        with optimizer.evaluating():
            text = [part.parameter for part in parts if part.part == TEXT]
            if step < 2:
                assert same(text, [w for w, part in zip(before, parts, strict=True) if part.part == TEXT])
        assert same(weights_of(parts), before)


def steps_with(known: Known, parts: list[MadePart], count: int = 10) -> Optimizer:
    optimizer = optimizer_over(known, parts)
    take_steps(optimizer, parts, 0, count)
    return optimizer


@pytest.mark.needs("pytorch-optimizer>=4.1")
@pytest.mark.parametrize("name", sorted(SWITCHING))
def test_a_weight_that_never_gets_a_gradient_can_be_looked_at(name: str) -> None:
    """As the last layer of a text encoder whose answer is taken before it."""
    parts = made_parts()
    optimizer = optimizer_over(table()[name.lower()], parts)
    still = parts[2].parameter
    before = still.detach().clone()
    for step in range(3):
        torch.manual_seed(step)
        give_gradients(parts, step)
        still.grad = None
        optimizer.set_rates(step)
        optimizer.clip()
        optimizer.step()
        with optimizer.evaluating():
            assert torch.equal(still, before)
    assert not any(parts[2].name in tensor for tensor in optimizer.state()[0])


@pytest.mark.parametrize("known", FINDERS)
def test_every_rate_finder_says_what_it_found(known: Known) -> None:
    parts = made_parts()
    optimizer = steps_with(known, parts)
    rates = optimizer.learning_rates()
    for part in (UNET, TEXT):
        found = [float(m.made.param_groups[0]["d"]) for m in optimizer.movers if m.key.part == part]
        assert optimizer.effective_rates()[part] == rates[part] * max(found)
    assert rates[TEXT] == rates[UNET] / 2
    assert optimizer.effective_rates()[UNET] > 1e-6 * rates[UNET]


@pytest.mark.parametrize("known", FINDERS)
def test_what_was_found_goes_on_after_a_stop(known: Known) -> None:
    parts = made_parts()
    first = steps_with(known, parts)
    second = optimizer_over(known, parts)
    second.load(*through_files(first))
    second.set_rates(9)
    assert second.effective_rates() == first.effective_rates()


@pytest.mark.needs("pytorch-optimizer>=4.1")
def test_a_part_that_rests_has_no_effective_rate() -> None:
    tables = {
        "optimizer": {"name": "Prodigy"},
        "rates": {"learning_rate": 1.0},
        "parts": {"text_encoder_1": {"start": "3 steps"}},
    }
    parts = made_parts()
    optimizer = new_optimizer(settings.read(tables).run, parts, plan_of(10))
    take_steps(optimizer, parts, 0, 2)
    assert optimizer.effective_rates()[TEXT] == 0.0 and optimizer.effective_rates()[UNET] > 0


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_other_is_refused_by_its_name_with_the_reason(name: str) -> None:
    for written in (name, name.lower(), f" {name.upper()} "):
        with pytest.raises(UserError) as caught:
            find(written, "cpu")
        assert caught.value.what == f"{name} cannot be used for training here: it {REFUSED[name]}."
        assert (caught.value.where, caught.value.code) == ("optimizer.name", "unusable-optimizer")
    assert name.lower() not in table()


@pytest.mark.slow
@pytest.mark.needs("pytorch-optimizer>=4.1")
def test_what_cannot_step_without_a_closure_is_among_the_refused() -> None:
    """Asked of the classes: none that is accepted wants one."""
    import inspect

    import pytorch_optimizer

    wanting = set()
    for name, value in vars(pytorch_optimizer).items():
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer):
            source = inspect.getsource(value)
            if "raise NoClosureError" in source:
                wanting.add(name)
    assert wanting and wanting <= {*REFUSED}
    assert {name for name, why in REFUSED.items() if why == CLOSURE} >= wanting
