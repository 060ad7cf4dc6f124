"""Weights moved in the backward pass, gradients in system memory: the plain path bit for bit."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.runs.events import DONE, Step
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.optimizers.finding import find
from lib_dreambooth.training.optimizers.fused import fuses, in_system_memory, moving_in_backward
from lib_dreambooth.training.optimizers.names import MAIN, Known
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from tests.training.made_batches import made_run
from tests.training.made_parts import MadePart, plan_of, same, weights_of
from tests.training.made_runs import WHOLE, MadeRun, assert_same, joined, tensors_of
from tests.training.test_optimizers_state import needed

# RAdam moves nothing in its first steps.
NUM_STEPS = 8
PLAIN = {"network.kind": "none", "optimizer.max_grad_norm": 0.0, "rates.warmup": "2 steps"}
HALF = {"precision.weights": "half", "precision.mixed": "bf16"}
# Two of them in a fast run.
FIRST = ("AdamW", "AdaFactor")
APART = [
    pytest.param(
        known, id=known.name, marks=[*needed(known), *([] if known.name in FIRST else [pytest.mark.slow])]
    )
    for known in MAIN
    if known.apart
]
WIDTHS = (6, 40, 30, 8)


class Net(nn.Module):
    """Layers of different sizes, one of them used twice, and one that nothing reads."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(WIDTHS))
        self.again = nn.Linear(40, 40)
        self.idle = nn.Linear(3, 3)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x).tanh()
        x = self.again(self.again(x).tanh()).tanh()
        return self.layers[2](self.layers[1](x).tanh())

    def parts(self) -> list[MadePart]:
        return [
            MadePart(name, parameter, UNET, 2.0 if name == "again.weight" else 1.0)
            for name, parameter in self.named_parameters()
        ]


def loss_of(net: Net, step: int, number: int = 0) -> Tensor:
    inputs = torch.randn(5, 6, generator=torch.Generator().manual_seed(100 * step + number))
    return net(inputs.to(next(net.parameters()).dtype)).square().mean()


@contextmanager
def live_gradients(net: Net) -> Iterator[list[int]]:
    """Bytes of gradients alive at each moment when one more is whole."""
    seen: list[int] = []
    known: list[weakref.ref[Tensor]] = []

    def look(parameter: Tensor) -> None:
        assert parameter.grad is not None
        known.append(weakref.ref(parameter.grad))
        alive = {id(tensor): tensor.nbytes for one in known if (tensor := one()) is not None}
        seen.append(sum(alive.values()))

    handles = [parameter.register_post_accumulate_grad_hook(look) for parameter in net.parameters()]
    yield seen
    for handle in handles:
        handle.remove()


def made(changes: dict[str, Any], known: Known | None = None) -> tuple[Net, Optimizer]:
    run = made_run({**PLAIN, **({"optimizer.name": known.name} if known else {}), **changes})
    net = Net(torch.bfloat16 if run.precision.weights == "half" else torch.float32)
    return net, new_optimizer(run, net.parts(), plan_of(20))


def plainly(net: Net, optimizer: Optimizer, passes: int = 1) -> list[float]:
    norms = []
    for step in range(NUM_STEPS):
        optimizer.set_rates(step)
        for number in range(passes):
            loss_of(net, step, number).backward()
        norms.append(float(optimizer.clip()))
        optimizer.step(seed=step)
        optimizer.zero_grad()
    return norms


def in_backward(net: Net, optimizer: Optimizer) -> list[float]:
    norms = []
    for step in range(NUM_STEPS):
        optimizer.set_rates(step)
        with moving_in_backward(optimizer, seed=step) as found:
            loss_of(net, step).backward()
        norms.append(float(found.whole(optimizer)))
        assert all(parameter.grad is None for parameter in net.parameters())
    return norms


def everything(optimizer: Optimizer) -> Any:
    tensors, tree = optimizer.state()
    return {name: tensor.clone() for name, tensor in tensors.items()}, tree


@pytest.mark.parametrize("known", APART)
@pytest.mark.parametrize("changes", [{}, HALF], ids=["float32", "half"])
def test_a_fused_step_is_the_plain_one_bit_for_bit(known: Known, changes: dict[str, Any]) -> None:
    plain, plain_optimizer = made(changes, known)
    fused, fused_optimizer = made(changes, known)
    assert plainly(plain, plain_optimizer) == in_backward(fused, fused_optimizer)
    assert same(weights_of(plain.parts()), weights_of(fused.parts()))
    assert not same(weights_of(plain.parts()), weights_of(Net(next(plain.parameters()).dtype).parts()))
    tensors, tree = everything(plain_optimizer)
    fused_tensors, fused_tree = everything(fused_optimizer)
    assert tree == fused_tree
    assert_same(dict(sorted(tensors.items())), dict(sorted(fused_tensors.items())))


@pytest.mark.parametrize("known", APART[:3])
@pytest.mark.parametrize("changes", [{}, {"optimizer.max_grad_norm": 0.01}, HALF], ids=["", "clip", "half"])
def test_gradients_in_system_memory_add_up_as_on_the_card(known: Known, changes: dict[str, Any]) -> None:
    plain, plain_optimizer = made(changes, known)
    other, other_optimizer = made(changes, known)
    other_optimizer.keep_gradients_in_system_memory()
    assert plainly(plain, plain_optimizer, passes=3) == plainly(other, other_optimizer, passes=3)
    assert same(weights_of(plain.parts()), weights_of(other.parts()))
    assert everything(plain_optimizer)[1] == everything(other_optimizer)[1]


def test_never_more_than_one_gradient_is_alive() -> None:
    sizes = [
        parameter.nbytes for name, parameter in Net(torch.float32).named_parameters() if "idle" not in name
    ]
    net, optimizer = made({})
    with live_gradients(net) as seen:
        plainly(net, optimizer)
    assert max(seen) == sum(sizes)
    fused, fused_optimizer = made({})
    with live_gradients(fused) as fused_seen:
        in_backward(fused, fused_optimizer)
    assert max(fused_seen) == max(sizes)
    assert max(seen) - max(fused_seen) >= sum(sizes) - max(sizes)
    system, system_optimizer = made({})
    # Looks before the gradient leaves: what waits in system memory is no gradient of a weight any more.
    with live_gradients(system):
        system_optimizer.keep_gradients_in_system_memory()
        loss_of(system, 0).backward()
        assert all(parameter.grad is None for parameter in system.parameters())
        assert system_optimizer.clip() > 0


def test_after_an_error_the_optimizer_has_all_its_weights() -> None:
    net, optimizer = made({})
    before = [len(group["params"]) for mover in optimizer.movers for group in mover.made.param_groups]
    with pytest.raises(ZeroDivisionError), moving_in_backward(optimizer, seed=0):
        loss_of(net, 0).backward()
        raise ZeroDivisionError
    after = [len(group["params"]) for mover in optimizer.movers for group in mover.made.param_groups]
    assert before == after
    loss_of(net, 0).backward()
    assert net.again.weight.grad is not None


@pytest.mark.parametrize("way", ["fused", "system"])
def test_parts_that_rest_and_start_later(way: str) -> None:
    plain, plain_optimizer = made({})
    other, other_optimizer = made({})
    if way == "system":
        other_optimizer.keep_gradients_in_system_memory()
    for step in range(4):
        for net in (plain, other):
            net.again.requires_grad_(step >= 2)
        plain_optimizer.set_rates(step)
        other_optimizer.set_rates(step)
        loss_of(plain, step).backward()
        plain_optimizer.step(seed=step)
        plain_optimizer.zero_grad()
        if way == "fused":
            with moving_in_backward(other_optimizer, seed=step):
                loss_of(other, step).backward()
        else:
            loss_of(other, step).backward()
            assert all(parameter.grad is None for parameter in other.parameters())
            other_optimizer.step(seed=step)
            other_optimizer.zero_grad()
    assert same(weights_of(plain.parts()), weights_of(other.parts()))


def asks(changes: dict[str, Any], card_bytes: int = 0, processes: int = 1, scales_loss: bool = False) -> bool:
    run: Run = made_run({"network.kind": "none", **changes})
    known = find(run.optimizer.name, "cpu")
    return fuses(
        run,
        known,
        num_weights=1000,
        card_bytes=card_bytes,
        scales_loss=scales_loss,
        processes=processes,
    )


def test_when_it_is_done() -> None:
    on = {"memory.fused_backward": "on", "optimizer.max_grad_norm": 0.0}
    assert asks(on)
    assert not asks({**on, "network.kind": "lora"})
    assert not asks({**on, "memory.fused_backward": "off"}, card_bytes=1)
    auto = {"optimizer.max_grad_norm": 0.0}
    assert asks(auto, card_bytes=19_999) and not asks(auto, card_bytes=20_001) and not asks(auto)
    assert not asks({}, card_bytes=1), "gradients are clipped together"
    assert not asks({**auto, "length.accumulation": 2}, card_bytes=1)
    assert not asks(auto, card_bytes=1, processes=2)
    assert not asks({**auto, "optimizer.name": "Prodigy"}, card_bytes=1)
    system = {**on, "memory.gradients": "system", "length.accumulation": 2}
    assert not asks(system) and in_system_memory(made_run({"network.kind": "none", **system}))


@pytest.mark.parametrize(
    ("changes", "others", "where"),
    [
        ({"optimizer.name": "Prodigy"}, {}, "memory.fused_backward"),
        ({}, {"scales_loss": True}, "memory.fused_backward"),
        ({}, {"processes": 2}, "memory.fused_backward"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    changes: dict[str, Any], others: dict[str, Any], where: str
) -> None:
    on = {"memory.fused_backward": "on", "optimizer.max_grad_norm": 0.0}
    with pytest.raises(UserError) as raised:
        asks({**on, **changes}, **others)
    assert raised.value.where == where


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"length.accumulation": 2}, "length.accumulation"),
        ({"optimizer.max_grad_norm": 1.0}, "optimizer.max_grad_norm"),
        ({"precision.mixed": "fp16"}, "precision.mixed"),
    ],
)
def test_settings_that_cannot_be_meant_together(changes: dict[str, Any], path: str) -> None:
    on = {"network.kind": "none", "memory.fused_backward": "on", "optimizer.max_grad_norm": 0.0}
    with pytest.raises(UserError) as raised:
        made_run({**on, **changes})
    assert path in str(raised.value)
    made_run({**on, "memory.gradients": "system", "length.accumulation": 2})


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("precision", [{}, {"weights": "half", "mixed": "bf16"}], ids=["float32", "half"])
def test_a_run_with_it_ends_in_the_weights_of_one_without(tmp_path: Path, precision: dict[str, Any]) -> None:
    values = joined(
        WHOLE,
        {"optimizer": {"max_grad_norm": 0.0}, "length": {"train_for": "4 steps"}, "precision": precision},
    )
    runs = {}
    for setting in ("off", "on"):
        run = MadeRun(tmp_path / setting, joined(values, {"memory": {"fused_backward": setting}}))
        assert run.run().outcome == DONE
        runs[setting] = run
    assert_same(tensors_of(runs["off"].files()[-1]), tensors_of(runs["on"].files()[-1]))
    assert_same(runs["off"].state(), runs["on"].state())
    told = {setting: [(one.loss, one.grad_norm) for one in run.told(Step)] for setting, run in runs.items()}
    assert told["off"] == told["on"]
    # A state of one is a state of the other.
    assert runs["on"].go_on(changes={"memory.fused_backward": "off", "length.train_for": "6 steps"}).step == 6


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_with_gradients_in_system_memory(tmp_path: Path) -> None:
    values = joined(WHOLE, {"length": {"train_for": "4 steps", "accumulation": 2, "batch_size": 1}})
    runs = []
    for place in ("card", "system"):
        run = MadeRun(tmp_path / place, joined(values, {"memory": {"gradients": place}}))
        assert run.run().outcome == DONE
        runs.append(run)
    assert_same(runs[0].state(), runs[1].state())
    with pytest.raises(UserError) as raised:
        values = joined(values, {"memory": {"gradients": "system"}, "optimizer": {"name": "Prodigy"}})
        MadeRun(tmp_path / "not apart", joined(values, {"rates": {"learning_rate": 1.0}})).run()
    assert raised.value.where == "memory.gradients"
