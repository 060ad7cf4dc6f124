"""A pause takes an optimizer's memory off the card and back, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.training.optimizers import places
from lib_dreambooth.training.optimizers.names import Known
from lib_dreambooth.training.optimizers.optimizer import Optimizer
from lib_dreambooth.training.optimizers.places import draw_in, tensors_in
from tests.training.made_parts import MadePart, made_parts, same, take_steps, through_files, weights_of
from tests.training.pretended_card import CARD, CPU, PretendedCard
from tests.training.test_optimizers_state import EVERY, optimizer_over, parts_for, table


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> PretendedCard:
    return PretendedCard().at_work(monkeypatch)


def remembered(optimizer: Optimizer) -> list[Tensor]:
    """Found in another way than by what moves them: by name, as they are saved."""
    found: list[Tensor] = []
    for one in optimizer.movers:
        found += tensors_in(list(one.made.state.values()))
        for group in one.made.param_groups:
            found += tensors_in({name: value for name, value in group.items() if name != "params"})
    return found


def go(known: Known, parts: list[MadePart], pauses: bool) -> Optimizer:
    optimizer = optimizer_over(known, parts)
    for step in range(6):
        if pauses and step in (0, 3, 4):
            optimizer.to(CPU)
            optimizer.to(CPU)
            assert all(places.place_of(tensor) == CPU for tensor in remembered(optimizer))
            optimizer.to(CARD)
            homes = {tensor.ndim == 0: places.place_of(tensor) for tensor in remembered(optimizer)}
            assert homes.get(True, CPU) == CPU and homes.get(False, CARD) == CARD
        take_steps(optimizer, parts, step, step + 1)
    return optimizer


@pytest.mark.parametrize("known", EVERY)
def test_memory_leaves_the_card_and_comes_back_bit_for_bit(known: Known, card: PretendedCard) -> None:
    straight, paused = parts_for(known), parts_for(known)
    tensors, tree = through_files(go(known, straight, pauses=False))
    tensors_after, tree_after = through_files(go(known, paused, pauses=True))
    assert same(weights_of(paused), weights_of(straight))
    assert tree_after == tree
    assert all(torch.equal(tensors_after[name], tensors[name]) for name in tensors)
    assert card.on_cpu == {}


def test_half_weights_with_a_pause(card: PretendedCard) -> None:
    known = table()["adamw"]
    straight, paused = made_parts(dtype=torch.bfloat16), made_parts(dtype=torch.bfloat16)
    go(known, straight, pauses=False)
    go(known, paused, pauses=True)
    assert same(weights_of(paused), weights_of(straight))


def test_a_pause_while_weights_for_use_are_in_place(card: PretendedCard) -> None:
    known = table()["adamwschedulefree"]
    parts = parts_for(known)
    optimizer = go(known, parts, pauses=False)
    live = weights_of(parts)
    with optimizer.evaluating():
        shown = weights_of(parts)
        optimizer.to(CPU)
        assert all(id(kept) in card.on_cpu for one in optimizer.movers for kept in one._kept or ())
        optimizer.to(CARD)
        assert same(weights_of(parts), shown)
    assert same(weights_of(parts), live)


def test_no_state_is_made_while_memory_is_away(card: PretendedCard) -> None:
    known = table()["adamw"]
    optimizer = go(known, parts_for(known), pauses=False)
    optimizer.to(CPU)
    with pytest.raises(AssertionError, match="where its tensors are"):
        optimizer.state()
    optimizer.to(CARD)
    assert optimizer.state()[0]


def test_a_closed_optimizer_holds_nothing_that_has_left(card: PretendedCard) -> None:
    known = table()["adamw"]
    optimizer = go(known, parts_for(known), pauses=False)
    optimizer.to(CPU)
    optimizer.close()
    assert not any(one._moving._away for one in optimizer.movers)


def test_gradients_kept_as_zeros_go_with_their_weights() -> None:
    known = table()["adamw"]
    parts = parts_for(known)
    optimizer = optimizer_over(known, parts)
    gradient = torch.zeros_like(parts[0].parameter)
    parts[0].parameter.grad = gradient
    optimizer.to(CPU)
    assert parts[0].parameter.grad is not None
    assert torch.equal(parts[0].parameter.grad, gradient)


def test_tensors_are_found_in_all_containers() -> None:
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    nested: Any = {"a": [one, (two, 3)], "b": {"c": three}, "d": "text", "e": one}
    assert [id(found) for found in tensors_in(nested)] == [id(one), id(two), id(three), id(one)]


def test_paged_memory_is_read_and_not_changed() -> None:
    buffer = torch.arange(5000, dtype=torch.float32)
    before = buffer.clone()
    draw_in(buffer)
    assert torch.equal(buffer, before)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["AdamW", "Lion", "Prodigy", "AdamW8bit", "PagedAdamW8bit"])
def test_on_a_card(name: str) -> None:
    known = table()[name.lower()]
    results = []
    for pauses in (False, True):
        parts = parts_on_card()
        optimizer = optimizer_over(known, parts)
        for step in range(4):
            if pauses and step == 2:
                for device in (CPU, CARD):
                    for part in parts:
                        part.parameter.data = part.parameter.data.to(device)
                    optimizer.to(device)
                    if device == CPU:
                        assert not any(tensor.is_cuda for tensor in remembered(optimizer))
            take_on_card(optimizer, parts, step)
        results.append(weights_of(parts))
        optimizer.close()
    assert same(*results)


def parts_on_card() -> list[MadePart]:
    return [
        MadePart(part.name, torch.nn.Parameter(part.parameter.detach().to("cuda")), part.part, part.rate)
        for part in made_parts([(512, 512), (8,), (16, 4), (4, 16)])
    ]


def take_on_card(optimizer: Optimizer, parts: list[MadePart], step: int) -> None:
    torch.manual_seed(step)
    for part in parts:
        part.parameter.grad = torch.randn_like(part.parameter)
    optimizer.set_rates(step)
    optimizer.clip()
    optimizer.step()
    optimizer.zero_grad()
