"""Steps that wait for no number of theirs, and what becomes of one whose numbers are none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.race.counting import Counting
from lib_dreambooth import settings
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.training.optimizers.building import fuses_on_cpu, new_optimizer
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.trainer import stepping
from lib_dreambooth.training.trainer.awaited import Awaited, Stepped, known
from lib_dreambooth.training.trainer.curves import Curves
from lib_dreambooth.training.trainer.stepping import Stepper
from tests.training.made_parts import MadePart, give_gradients, made_parts, plan_of

NAN = float("nan")


def made(changes: dict[str, Any] | None = None) -> tuple[list[MadePart], Optimizer]:
    parts = made_parts()
    run = settings.read({"optimizer": {"name": "AdamW"}, **(changes or {})}).run
    optimizer = new_optimizer(run, parts, plan_of(9))  # type: ignore[arg-type]
    optimizer.set_rates(0)
    return parts, optimizer


def values(parts: list[MadePart], optimizer: Optimizer) -> list[torch.Tensor]:
    """All weights, and all that is remembered of them."""
    return [part.parameter.detach().clone() for part in parts] + [
        tensor.clone() for tensor in optimizer.state()[0].values()
    ]


def are_equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


needs_one_call = pytest.mark.skipif(
    not fuses_on_cpu(), reason="this PyTorch moves all weights in one call on cards only"
)


@needs_one_call
def test_a_move_is_left_out_where_the_device_says_so() -> None:
    parts, optimizer = made()
    assert optimizer.can_leave_out
    for step, leave_out in enumerate((0.0, 1.0, 0.0)):
        give_gradients(parts, step)
        optimizer.clip()
        before = values(parts, optimizer)
        optimizer.step(leave_out=torch.tensor(leave_out))
        assert are_equal(before, values(parts, optimizer)) == bool(leave_out)
    assert not any("found_inf" in str(tree) for tree in optimizer.state()[1].values())


@pytest.mark.parametrize(
    "changes", [{"optimizer": {"name": "Lion"}}, {"memory": {"one_call": "off"}}], ids=str
)
def test_others_cannot(changes: dict[str, Any]) -> None:
    if changes.get("optimizer"):
        pytest.importorskip("pytorch_optimizer")
    assert not made(changes)[1].can_leave_out


def stepper(optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> Stepper:
    """Steps whose losses are given."""
    process = SimpleNamespace(is_alone=True, place_of=lambda number: number)
    run = settings.read({}).run
    ready: Any = SimpleNamespace(
        optimizer=optimizer, process=process, run=run, scale=None, is_fused=False, device=torch.device("cpu"),
        trained=SimpleNamespace(limit_norms=lambda most: None), averages=None, pieces=1,
    )  # fmt: skip
    found = Stepper(ready, lambda part: None)
    monkeypatch.setattr(found, "_start_and_stop", lambda step: None)

    def gradients(step: int, *_: Any) -> torch.Tensor:
        parts = [part for mover in optimizer.movers for part in mover.parts]
        give_gradients(parts, step)  # type: ignore[arg-type]
        if losses[step] != losses[step]:
            parts[0].parameter.grad = torch.full_like(parts[0].parameter, NAN)
        return torch.tensor(losses[step])

    monkeypatch.setattr(found, "_gradients", gradients)
    return found


@needs_one_call
def test_a_step_asks_no_number_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    _, optimizer = made()
    steps = stepper(optimizer, monkeypatch, [1.0, 2.0])
    steps.take(0, [None])  # type: ignore[list-item]
    with Counting() as counting:
        taken = steps.take(1, [None])  # type: ignore[list-item]
    assert counting.waits == 0
    assert known(taken).loss == 2.0


@needs_one_call
def test_nothing_moves_from_the_first_step_on_that_gave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, optimizer = made()
    steps = stepper(optimizer, monkeypatch, [1.0, NAN, 1.0])
    # As on a card, whose numbers come later.
    monkeypatch.setattr(steps.ready, "device", torch.device("cuda"))
    monkeypatch.setattr(stepping, "own_chance", lambda *given: torch.no_grad())
    first = steps.take(0, [None])  # type: ignore[list-item]
    kept = values(parts, optimizer)
    second, third = (steps.take(step, [None]) for step in (1, 2))  # type: ignore[list-item]
    assert are_equal(kept, values(parts, optimizer))
    assert known(first).loss == 1.0
    with pytest.raises(UserError, match="loss is no number any more at step 2") as caught:
        known(second)
    assert caught.value.code == "not-finite"
    assert isinstance(third, Awaited)


def test_on_a_card_optimizers_that_cannot_do_not_wait_either(monkeypatch: pytest.MonkeyPatch) -> None:
    _, optimizer = made({"optimizer": {"name": "SGD"}})
    assert stepper(optimizer, monkeypatch, [1.0])._waits
    monkeypatch.setattr(stepping, "own_chance", lambda *given: torch.no_grad())
    steps = on_a_card(optimizer, monkeypatch, [1.0, 2.0, NAN, 1.0])
    found = curves()
    found.add(steps.take(0, [None]))  # type: ignore[list-item]
    with Counting() as counting:
        second = steps.take(1, [None])  # type: ignore[list-item]
    assert counting.waits == 0
    found.rest()
    later = [Slow(step, *numbers(steps.take(step, [None]))) for step in (2, 3)]  # type: ignore[list-item]
    assert known(second).loss == 2.0
    for one in later:
        found.add(one)
    # Whatever keeps or shows something of the weights says so before.
    with pytest.raises(UserError, match="at step 3") as caught:
        found.rest()
    assert caught.value.code == "not-finite"


def test_a_card_is_waited_for_where_gradients_are_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    _, optimizer = made()
    optimizer.keep_gradients_in_system_memory()
    assert on_a_card(optimizer, monkeypatch, [1.0])._waits
    optimizer.close()


def on_a_card(optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> Stepper:
    """The same as `stepper` with what stands for a card, whose numbers come later."""
    named = SimpleNamespace(type="cuda")
    steps = stepper(optimizer, monkeypatch, losses)
    monkeypatch.setattr(steps.ready, "device", named)
    monkeypatch.setattr(steps, "_waits", not stepping.can_go_ahead(steps.ready))
    return steps


def numbers(taken: Any) -> tuple[torch.Tensor, torch.Tensor]:
    loss, norm = taken._numbers
    return loss, norm


@needs_one_call
def test_on_a_cpu_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, optimizer = made()
    steps = stepper(optimizer, monkeypatch, [NAN])
    before = values(parts, optimizer)[: len(parts)]
    with pytest.raises(UserError, match="at step 1"):
        steps.take(0, [None])  # type: ignore[list-item]
    assert are_equal(before, values(parts, optimizer)[: len(parts)])
    assert not steps.is_moving


class Slow(Awaited):
    """A step whose numbers take their time."""

    is_here = False


def curves() -> Curves:
    return Curves(SimpleNamespace(run=settings.read({}).run))  # type: ignore[arg-type]


def test_curves_read_in_order_when_they_have_to() -> None:
    found, wanted = curves(), curves()
    for step, loss in enumerate((3.0, 1.0, 2.0)):
        found.add(Slow(step, torch.tensor(loss), torch.tensor(1.0)))
        wanted.add(Stepped(step, loss, 1.0))
    assert found.smoothed.value != wanted.smoothed.value
    assert found.state() == wanted.state()


def test_a_state_is_not_made_of_steps_that_gave_none() -> None:
    found = curves()
    found.add(Slow(0, torch.tensor(1.0), torch.tensor(NAN)))
    with pytest.raises(UserError, match="gradient is no number any more at step 1"):
        found.state()
