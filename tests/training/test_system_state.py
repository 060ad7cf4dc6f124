"""What an optimizer remembers in system memory: the plain path bit for bit, whatever else is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs.events import DONE
from lib_dreambooth.training.optimizers import places, system_memory, system_state
from lib_dreambooth.training.optimizers.before_move import BeforeMove
from lib_dreambooth.training.optimizers.fused import (
    keeps_state_away,
    may_leave,
    moving_in_backward,
    require_leaving,
)
from lib_dreambooth.training.optimizers.names import Known, table
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.optimizers.system_memory import FIRST_PIECE, LARGEST_PIECE, SystemMemory
from tests.training.made_batches import made_run
from tests.training.made_parts import (
    MadePart,
    copy_weights,
    give_gradients,
    made_parts,
    same,
    take_steps,
    through_files,
    weights_of,
)
from tests.training.made_runs import WHOLE, MadeRun, assert_same, joined
from tests.training.pretended_card import CARD, CPU, PretendedCard
from tests.training.test_fused_backward import APART, HALF, NUM_STEPS, Net, everything, loss_of, made
from tests.training.test_optimizers_modes import SWITCHING
from tests.training.test_optimizers_places import parts_on_card, take_on_card
from tests.training.test_optimizers_state import optimizer_over, parts_for

LEAVING = [one for one in APART if may_leave(one.values[0])]
SCHEDULE_FREE = [one for one in LEAVING if one.values[0].name in SWITCHING]
STOPPED_AT = 3


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> PretendedCard:
    return PretendedCard().at_work(monkeypatch)


def remembered(optimizer: Optimizer) -> list[torch.Tensor]:
    """What leaves: of each weight all that is no single number."""
    found = places.tensors_in([list(one.made.state.values()) for one in optimizer.movers])
    return [tensor for tensor in found if tensor.numel() > 1]


def trained(net: Net, optimizer: Optimizer, way: str, passes: int) -> None:
    """So many steps; where state is away, it is between them."""
    for step in range(NUM_STEPS):
        optimizer.set_rates(step)
        if way == "fused":
            with moving_in_backward(optimizer, seed=step):
                loss_of(net, step).backward()
        else:
            for number in range(passes):
                loss_of(net, step, number).backward()
            optimizer.clip()
            optimizer.step(seed=step)
            optimizer.zero_grad()
        if optimizer.is_state_away:
            assert all(places.place_of(tensor) == CPU for tensor in remembered(optimizer))


@pytest.mark.parametrize("known", LEAVING)
@pytest.mark.parametrize("changes", [{}, HALF], ids=["float32", "half"])
@pytest.mark.parametrize("way", ["together", "fused", "gradients too"])
def test_steps_are_the_plain_ones_bit_for_bit(
    known: Known, changes: dict[str, Any], way: str, card: PretendedCard
) -> None:
    passes = 1 if way == "fused" else 3
    plain, plain_optimizer = made(changes, known)
    trained(plain, plain_optimizer, "together", passes)
    assert card.num_sent == 0
    away, away_optimizer = made(changes, known)
    if way == "gradients too":
        away_optimizer.keep_gradients_in_system_memory()
    away_optimizer.keep_state_in_system_memory()
    trained(away, away_optimizer, way, passes)
    assert same(weights_of(plain.parts()), weights_of(away.parts()))
    assert not same(weights_of(plain.parts()), weights_of(Net(next(plain.parameters()).dtype).parts()))
    tensors, tree = everything(plain_optimizer)
    away_tensors, away_tree = everything(away_optimizer)
    assert tree == away_tree
    assert_same(dict(sorted(tensors.items())), dict(sorted(away_tensors.items())))
    assert bool(card.num_sent) is bool(remembered(plain_optimizer))


@pytest.mark.parametrize("known", LEAVING)
@pytest.mark.parametrize("changes", ["away, then not", "not, then away"])
def test_a_state_goes_on_with_another_choice(known: Known, changes: str, card: PretendedCard) -> None:
    straight = parts_for(known)
    take_steps(optimizer_over(known, straight), straight, 0, 2 * STOPPED_AT)

    stopped = parts_for(known)
    first = optimizer_over(known, stopped)
    if changes == "away, then not":
        first.keep_state_in_system_memory()
    take_steps(first, stopped, 0, STOPPED_AT)
    tensors, tree = through_files(first)

    resumed = parts_for(known)
    copy_weights(stopped, resumed)
    second = optimizer_over(known, resumed)
    if changes == "not, then away":
        second.keep_state_in_system_memory()
    second.load(tensors, tree)
    if changes == "not, then away":
        assert all(places.place_of(tensor) == CPU for tensor in remembered(second))
    take_steps(second, resumed, STOPPED_AT, 2 * STOPPED_AT)
    assert same(weights_of(resumed), weights_of(straight))
    assert through_files(second)[1] == through_files(optimizer_after(known, 2 * STOPPED_AT))[1]


def optimizer_after(known: Known, count: int) -> Optimizer:
    parts = parts_for(known)
    optimizer = optimizer_over(known, parts)
    take_steps(optimizer, parts, 0, count)
    return optimizer


@pytest.mark.parametrize("known", SCHEDULE_FREE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "half"])
def test_weights_for_use_are_the_same(known: Known, dtype: torch.dtype, card: PretendedCard) -> None:
    shown = []
    for is_away in (False, True):
        parts = parts_for(known, dtype)
        optimizer = optimizer_over(known, parts)
        if is_away:
            optimizer.keep_state_in_system_memory()
        # Before anything has moved, and after.
        for first in (0, 8):
            with optimizer.evaluating():
                shown.append(weights_of(parts))
            take_steps(optimizer, parts, first, first + 8)
        live = weights_of(parts)
        with optimizer.evaluating():
            assert not same(weights_of(parts), live)
        assert same(weights_of(parts), live)
        shown.append(live)
    assert all(same(*pair) for pair in zip(shown[:3], shown[3:], strict=True))


def away_over(parts: list[MadePart], name: str = "adamw") -> Optimizer:
    optimizer = optimizer_over(table()[name], parts)
    optimizer.keep_state_in_system_memory()
    return optimizer


def test_no_more_than_one_weight_s_part_is_on_the_card(card: PretendedCard) -> None:
    parts = made_parts()
    take_steps(away_over(parts), parts, 0, 3)
    assert card.most_here == 2 * max(part.parameter.nbytes for part in parts)


def test_a_pause_leaves_it_where_it_is(card: PretendedCard) -> None:
    straight, paused = made_parts(), made_parts()
    take_steps(away_over(straight), straight, 0, 4)
    optimizer = away_over(paused)
    take_steps(optimizer, paused, 0, 2)
    for device in (CPU, CARD):
        optimizer.to(device)
        assert all(places.place_of(tensor) == CPU for tensor in remembered(optimizer))
    take_steps(optimizer, paused, 2, 4)
    assert same(weights_of(paused), weights_of(straight))


def test_it_can_leave_in_the_middle_of_a_run(card: PretendedCard) -> None:
    straight, leaving = made_parts(), made_parts()
    take_steps(optimizer_over(table()["adamw"], straight), straight, 0, 4)
    optimizer = optimizer_over(table()["adamw"], leaving)
    take_steps(optimizer, leaving, 0, 2)
    optimizer.keep_state_in_system_memory()
    assert all(places.place_of(tensor) == CPU for tensor in remembered(optimizer))
    take_steps(optimizer, leaving, 2, 4)
    assert same(weights_of(leaving), weights_of(straight))


def test_what_a_failed_move_made_leaves_and_is_forgotten(
    card: PretendedCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, failing = made_parts(), made_parts()
    take_steps(away_over(straight), straight, 0, 2)
    optimizer = away_over(failing)
    library = optimizer.movers[0].made
    real = library.step

    def fails() -> None:
        real()
        raise RuntimeError("CUDA out of memory.")

    before = weights_of(failing)
    kept = BeforeMove(optimizer)
    with monkeypatch.context() as patch:
        patch.setattr(library, "step", fails)
        optimizer.set_rates(0)
        give_gradients(failing, 0)
        with pytest.raises(RuntimeError):
            optimizer.step()
    assert remembered(optimizer)
    assert all(places.place_of(tensor) == CPU for tensor in remembered(optimizer))
    assert not kept.restore(), "one weight has moved"
    copy_weights([MadePart("", torch.nn.Parameter(one)) for one in before], failing)
    optimizer.load({}, away_over(made_parts()).state()[1])
    take_steps(optimizer, failing, 0, 2)
    assert same(weights_of(failing), weights_of(straight))


def test_what_has_stopped_gives_its_memory_back(card: PretendedCard) -> None:
    parts = made_parts()
    optimizer = away_over(parts)
    take_steps(optimizer, parts, 0, 1)
    homes = [one.away._homes for one in optimizer.movers if one.away is not None]
    assert all(homes)
    optimizer.close()
    assert not any(homes)


def test_few_numbers_stay_on_the_card(card: PretendedCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_state, "SMALLEST", 70 * 64)
    parts = made_parts()
    optimizer = away_over(parts)
    take_steps(optimizer, parts, 0, 2)
    by_place = {places.place_of(tensor): tensor.shape for tensor in remembered(optimizer)}
    assert by_place[CPU] == (70, 64) and by_place[CARD] != (70, 64)


def test_on_a_cpu_nothing_is_copied() -> None:
    straight, away = made_parts(), made_parts()
    take_steps(optimizer_over(table()["adamw"], straight), straight, 0, 2)
    optimizer = away_over(away)
    take_steps(optimizer, away, 0, 1)
    where = [tensor.data_ptr() for tensor in remembered(optimizer)]
    take_steps(optimizer, away, 1, 2)
    assert where == [tensor.data_ptr() for tensor in remembered(optimizer)]
    assert same(weights_of(away), weights_of(straight))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the pieces that are pinned, on a machine that pins."""
    found: list[int] = []

    def pinned(num_bytes: int) -> torch.Tensor:
        found.append(num_bytes)
        return torch.empty(num_bytes, dtype=torch.uint8)

    monkeypatch.setattr(system_memory, "can_unpin", lambda: True)
    monkeypatch.setattr(system_memory, "pinned", pinned)
    return found


def test_pinned_memory_is_cut_from_few_pieces(asked: list[int]) -> None:
    memory = SystemMemory(CARD)
    given = [
        torch.arange(35, dtype=torch.float32).view(5, 7),
        torch.arange(9, dtype=torch.uint8),
        torch.arange(48.0, dtype=torch.bfloat16).view(2, 2, 3, 4).to(memory_format=torch.channels_last),
    ]
    homes = [memory.like(one).copy_(one) for one in given]
    assert asked == [FIRST_PIECE]
    assert all(
        torch.equal(*pair) and pair[0].stride() == pair[1].stride() for pair in zip(given, homes, strict=True)
    )
    for _ in range(3):
        memory.like(torch.empty(FIRST_PIECE // 4))
    memory.like(torch.empty(LARGEST_PIECE + 4, dtype=torch.uint8))
    assert asked == [FIRST_PIECE, 2 * FIRST_PIECE, 4 * FIRST_PIECE, LARGEST_PIECE + 4]


def test_elsewhere_memory_is_as_always(asked: list[int]) -> None:
    assert SystemMemory(torch.device("mps")).like(torch.ones(3, 2)).shape == (3, 2)
    assert asked == []


def test_where_no_more_can_be_pinned_other_memory_does() -> None:
    # Without a card there is none that could be.
    assert system_memory.pinned(16).numel() == 16


def test_when_it_is_done() -> None:
    system = made_run({"memory.optimizer_state": "system"})
    on_card = made_run({"memory.optimizer_state": "card"})
    auto = made_run({})
    assert keeps_state_away(system) and keeps_state_away(system, chosen=False)
    assert not keeps_state_away(on_card, chosen=True)
    assert keeps_state_away(auto, chosen=True) and not keeps_state_away(auto)


@pytest.mark.parametrize("name", ["Prodigy", "PagedAdamW8bit"])
def test_what_cannot_leave_is_refused_by_name(name: str) -> None:
    known = table()[name.lower()]
    assert not may_leave(known)
    with pytest.raises(UserError) as raised:
        require_leaving(known)
    assert raised.value.where == "memory.optimizer_state" and name in raised.value.what
    require_leaving(table()["adamw8bit"])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["AdamW", "Lion", "CAME", "AdamW8bit", "AdamWScheduleFree"])
def test_on_a_card(name: str) -> None:
    known = table()[name.lower()]
    results = []
    for is_away in (False, True):
        parts = parts_on_card()
        optimizer = optimizer_over(known, parts)
        if is_away:
            optimizer.keep_state_in_system_memory()
        for step in range(4):
            take_on_card(optimizer, parts, step)
            with optimizer.evaluating():
                results.append(weights_of(parts))
        large = [tensor for tensor in remembered(optimizer) if tensor.numel() >= system_state.SMALLEST]
        assert large and all(tensor.is_cuda is not is_away for tensor in large)
        results.append([tensor.cpu() for tensor in optimizer.state()[0].values()])
        optimizer.close()
    assert all(same(*pair) for pair in zip(results[:5], results[5:], strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_with_it_ends_in_the_weights_of_one_without(tmp_path: Path) -> None:
    values = joined(WHOLE, {"length": {"train_for": "4 steps"}})
    runs = []
    for place in ("card", "system"):
        run = MadeRun(tmp_path / place, joined(values, {"memory": {"optimizer_state": place}}))
        assert run.run().outcome == DONE
        runs.append(run)
    assert_same(runs[0].state(), runs[1].state())
    # A state of one is a state of the other.
    for run, place in zip(runs, ("system", "card"), strict=True):
        changes = {"memory.optimizer_state": place, "length.train_for": "6 steps"}
        assert run.go_on(changes=changes).step == 6
    assert_same(runs[0].state(), runs[1].state())
    with pytest.raises(UserError) as raised:
        values = joined(values, {"memory": {"optimizer_state": "system"}, "optimizer": {"name": "Prodigy"}})
        MadeRun(tmp_path / "not apart", joined(values, {"rates": {"learning_rate": 1.0}})).run()
    assert raised.value.where == "memory.optimizer_state"
