from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lib_dreambooth import settings
from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.training.optimizers import building, finding
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.optimizers.finding import available, find
from lib_dreambooth.training.optimizers.mover import Key, Mover
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


def optimizer_over(parts: list[MadePart], num_steps: int | None = 100, /, **tables: Any) -> Optimizer:
    return new_optimizer(settings.read(tables).run, parts, plan_of(num_steps))


def one_weight(value: float = 1.0, part: str = UNET, rate: float = 1.0, name: str = "w") -> MadePart:
    return MadePart(f"{part}.{name}", nn.Parameter(torch.tensor([value])), part, rate)


def pull(parts: list[MadePart], gradient: float) -> None:
    for part in parts:
        part.parameter.grad = torch.full_like(part.parameter, gradient)


SGD = {"name": "SGD", "weight_decay": 0, "max_grad_norm": 0}


def test_names_are_found_in_any_case() -> None:
    assert find("adamw", "cpu").name == "AdamW"
    assert find(" PRODIGY ", "cpu").class_name == "Prodigy"


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean Prodigy") as caught:
        find("Prodigi", "cpu")
    assert caught.value.where == "optimizer.name"


def test_what_needs_a_closure_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"SAM cannot be used.*several times in one step"):
        find("sam", "cpu")


def test_a_missing_package_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding.importlib.util, "find_spec", lambda name: None)
    finding.against.cache_clear()
    try:
        with pytest.raises(MissingPackage, match="pip install -U pytorch-optimizer"):
            find("Lion", "cpu")
        listed = {entry.name: entry for entry in available("cpu")}
    finally:
        finding.against.cache_clear()
    assert listed["AdamW"].is_installed and listed["AdamW"].why == ""
    assert not listed["Lion8bit"].is_installed
    assert listed["Lion8bit"].why == "the package bitsandbytes is not installed"


def test_a_package_that_breaks_on_import_is_said_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("no libcudart")

    monkeypatch.setattr(finding.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(finding.importlib, "import_module", broken)
    finding.against.cache_clear()
    finding.library_module.cache_clear()
    try:
        listed = {entry.name: entry.why for entry in available("cpu")}
    finally:
        finding.against.cache_clear()
        finding.library_module.cache_clear()
    assert listed["AdamW8bit"] == "the package bitsandbytes cannot be loaded here: no libcudart"


def test_every_choice_of_the_form_is_in_the_list_and_first() -> None:
    from lib_dreambooth.settings.sections.optimizer import OPTIMIZERS

    assert [entry.name for entry in available("cpu")][: len(OPTIMIZERS)] == list(OPTIMIZERS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"beta": [0.9, 0.99]}, "Did you mean betas"),
        ({"lr": 1}, "Set rates.learning_rate instead"),
        ({"weight_decay": 1}, "Set optimizer.weight_decay instead"),
        ({"betas": [2.0, 0.99]}, "AdamW does not take these arguments"),
    ],
)
def test_arguments_are_checked_against_the_class(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        optimizer_over([one_weight()], optimizer={"name": "AdamW", "arguments": arguments})


def test_arguments_reach_the_class() -> None:
    optimizer = optimizer_over([one_weight()], optimizer={"arguments": {"betas": [0.5, 0.6], "eps": 1e-4}})
    group = optimizer.movers[0].made.param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.5, 0.6), 1e-4)


def test_number_types_are_given_by_name() -> None:
    arguments = {"momentum_dtype": "float32"}
    optimizer = optimizer_over([one_weight()], optimizer={"name": "AdaFactor", "arguments": arguments})
    assert optimizer.movers[0].made.momentum_dtype == torch.float32  # type: ignore[attr-defined]


def test_an_optimizer_that_plans_with_the_length_refuses_an_endless_run() -> None:
    with pytest.raises(UserError, match="Ranger21 needs to know how long"):
        optimizer_over([one_weight()], None, optimizer={"name": "Ranger21"})


def test_what_moves_matrices_only_refuses_others() -> None:
    with pytest.raises(UserError, match="moves matrices only"):
        optimizer_over([one_weight()], optimizer={"name": "SpectralSphere"})


def test_each_part_and_factor_moves_at_its_own_rate() -> None:
    parts = [one_weight(), one_weight(rate=4.0, name="fast"), one_weight(part=TEXT)]
    optimizer = optimizer_over(
        parts,
        optimizer=SGD,
        rates={"learning_rate": 0.5},
        parts={"unet": {"rate": 0.25}, "text_encoder_1": {"rate": 0}},
    )
    pull(parts, 1.0)
    optimizer.step()
    assert [part.parameter.item() for part in parts] == [0.75, 0.0, 0.5]
    assert optimizer.learning_rates() == {UNET: 0.25, TEXT: 0.5}


def test_scale_multiplies_the_rate_and_leaves_the_setting() -> None:
    parts = [one_weight()]
    run = settings.read(
        {
            "optimizer": SGD,
            "rates": {"learning_rate": 0.01, "scale": True},
            "length": {"batch_size": 3, "accumulation": 2},
        }
    ).run
    optimizer = new_optimizer(run, parts, plan_of(10), processes=2)
    assert optimizer.learning_rates() == {UNET: pytest.approx(0.12)}
    assert run.rates.learning_rate == 0.01


def test_the_rate_follows_the_schedule() -> None:
    parts = [one_weight()]
    optimizer = optimizer_over(parts, 5, optimizer=SGD, rates={"learning_rate": 1.0, "schedule": "linear"})
    seen = []
    for step in range(5):
        optimizer.set_rates(step)
        seen.append(optimizer.movers[0].made.param_groups[0]["lr"])
    assert seen == [1.0, 0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("name", ["AdamW", "Lion", "AdamWScheduleFree", "Prodigy"])
def test_a_part_that_has_not_begun_stays_and_then_starts_afresh(name: str) -> None:
    parts = made_parts()
    before = weights_of(parts)
    tables: dict[str, Any] = {"optimizer": {"name": name}, "rates": {"learning_rate": 1e-2}}
    optimizer = optimizer_over(parts, 20, parts={"text_encoder_1": {"start": "3 steps"}}, **tables)
    take_steps(optimizer, parts, 0, 3)
    text = [number for number, part in enumerate(parts) if part.part == TEXT]
    assert all(torch.equal(weights_of(parts)[number], before[number]) for number in text)
    assert {part.part for part in optimizer.active()} == {UNET}
    late = [part for part in parts if part.part == TEXT]
    take_steps(optimizer, parts, 3, 4)
    # Its first step is a first step, not the fourth of a momentum that never was.
    alone = [part for part in made_parts() if part.part == TEXT]
    fresh = optimizer_over(alone, 20, **tables)
    give_gradients(all_parts := made_parts(), 3)
    for part, gradient in zip(alone, (p for p in all_parts if p.part == TEXT), strict=True):
        part.parameter.grad = gradient.parameter.grad
    fresh.step()
    if name != "AdamW":  # clipping is over all parts; only sizes of steps are alike then
        moved = [(a.parameter - b).abs().mean() for a, b in zip(late, [before[n] for n in text], strict=True)]
        first = [
            (a.parameter - b).abs().mean() for a, b in zip(alone, [before[n] for n in text], strict=True)
        ]
        assert torch.allclose(torch.stack(moved), torch.stack(first), rtol=0.5)


def test_a_part_that_has_stopped_stays_and_its_memory_is_given_back() -> None:
    parts = made_parts()
    optimizer = optimizer_over(parts, 20, parts={"text_encoder_1": {"stop": "3 steps"}})
    take_steps(optimizer, parts, 0, 3)
    stopped = [part.parameter.detach().clone() for part in parts if part.part == TEXT]
    assert any(TEXT in name for name in optimizer.state()[0])
    take_steps(optimizer, parts, 3, 6)
    assert same(stopped, [part.parameter for part in parts if part.part == TEXT])
    assert not any(name.startswith(f"{TEXT}.") for name in optimizer.state()[0])


def test_a_state_after_a_part_has_stopped_goes_on() -> None:
    window = {"text_encoder_1": {"stop": "3 steps"}}
    straight = made_parts()
    take_steps(optimizer_over(straight, 20, parts=window), straight, 0, 8)
    parts = made_parts()
    first = optimizer_over(parts, 20, parts=window)
    take_steps(first, parts, 0, 5)
    second = optimizer_over(parts, 20, parts=window)
    second.load(*through_files(first))
    take_steps(second, parts, 5, 8)
    assert same(weights_of(parts), weights_of(straight))


def test_words_have_a_weight_decay_of_their_own() -> None:
    word, layer = one_weight(part="words"), one_weight()
    optimizer = optimizer_over(
        [word, layer],
        optimizer={"weight_decay": 0.5},
        parts={"words": {"train": True, "weight_decay": 0.25}},
    )
    decays = {mover.key.part: mover.made.param_groups[0]["weight_decay"] for mover in optimizer.movers}
    assert decays == {"words": 0.25, UNET: 0.5}


def test_weight_decay_pulls_towards_zero() -> None:
    parts = [one_weight(2.0)]
    optimizer = optimizer_over(
        parts, optimizer={"name": "AdamW", "weight_decay": 0.5}, rates={"learning_rate": 0.1}
    )
    pull(parts, 0.0)
    optimizer.step()
    assert parts[0].parameter.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))


@pytest.mark.parametrize(("longest", "moved"), [(1.0, 0.6), (0.0, 3.0), (10.0, 3.0)])
def test_clipping_is_over_all_parts_and_gives_their_norm(longest: float, moved: float) -> None:
    one, other = one_weight(0.0), one_weight(0.0, part=TEXT)
    optimizer = optimizer_over(
        [one, other],
        optimizer={**SGD, "max_grad_norm": longest},
        rates={"learning_rate": 1.0},
        parts={"text_encoder_1": {"rate": 1.0}},
    )
    one.parameter.grad, other.parameter.grad = torch.tensor([-3.0]), torch.tensor([-4.0])
    norm = optimizer.clip()
    optimizer.step()
    assert norm.item() == pytest.approx(5.0)
    assert one.parameter.item() == pytest.approx(moved, rel=1e-5)


def test_the_loss_scale_is_taken_out_before_clipping() -> None:
    parts = [one_weight(0.0)]
    optimizer = optimizer_over(parts, optimizer={**SGD, "max_grad_norm": 1.0}, rates={"learning_rate": 1.0})
    pull(parts, -0.5 * 1024)
    assert optimizer.clip(loss_scale=1024.0).item() == 0.5
    optimizer.step()
    assert parts[0].parameter.item() == pytest.approx(0.5)


def test_a_gradient_that_is_no_number_shows_in_the_norm() -> None:
    parts = [one_weight(), one_weight(name="other")]
    optimizer = optimizer_over(parts)
    pull(parts, 1.0)
    parts[1].parameter.grad = torch.tensor([float("nan")])
    assert not torch.isfinite(optimizer.clip())


def test_gradients_in_half_are_measured_beyond_its_range() -> None:
    part = MadePart("unet.w", nn.Parameter(torch.zeros(4, dtype=torch.float16)))
    optimizer = optimizer_over([part])
    part.parameter.grad = torch.full((4,), 60000.0, dtype=torch.float16)
    assert optimizer.clip().item() == pytest.approx(120000.0, rel=1e-3)


@pytest.mark.parametrize("to_none", [True, False])
def test_zero_grad(to_none: bool) -> None:
    parts = [one_weight()]
    optimizer = optimizer_over(parts)
    pull(parts, 1.0)
    optimizer.zero_grad(set_to_none=to_none)
    gradient = parts[0].parameter.grad
    assert gradient is None if to_none else gradient is not None and gradient.item() == 0


@pytest.mark.parametrize("name", ["AdamWScheduleFree", "RAdamScheduleFree", "SGDScheduleFree", "SPlus"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_looking_at_the_weights_for_use_changes_nothing(name: str, dtype: torch.dtype) -> None:
    parts = made_parts(dtype=dtype)
    optimizer = optimizer_over(parts, optimizer={"name": name}, rates={"learning_rate": 0.3})
    take_steps(optimizer, parts, 0, 8)
    live = weights_of(parts)
    tensors, tree = through_files(optimizer)
    with pytest.raises(RuntimeError, match="preview"), optimizer.evaluating():
        shown = weights_of(parts)
        raise RuntimeError("preview")
    assert not same(shown, live)
    assert same(weights_of(parts), live)
    after, tree_after = through_files(optimizer)
    assert tree_after == tree
    assert all(torch.equal(after[key], tensors[key]) for key in tensors)


def test_other_optimizers_show_the_live_weights() -> None:
    parts = made_parts()
    optimizer = optimizer_over(parts)
    take_steps(optimizer, parts, 0, 2)
    live = weights_of(parts)
    with optimizer.evaluating():
        assert same(weights_of(parts), live)


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam", "DAdaptLion"])
def test_rate_finders_report_what_they_found(name: str) -> None:
    parts = made_parts()
    optimizer = optimizer_over(parts, optimizer={"name": name}, rates={"learning_rate": 0.5})
    take_steps(optimizer, parts, 0, 5)
    found = max(float(m.made.param_groups[0]["d"]) for m in optimizer.movers if m.key.part == UNET)
    assert optimizer.effective_rates()[UNET] == 0.5 * found
    assert found > 1e-6


def test_rates_are_effective_as_they_are_elsewhere() -> None:
    optimizer = optimizer_over([one_weight()], rates={"learning_rate": 0.5})
    assert optimizer.effective_rates() == {UNET: 0.5}


def move_for(steps: int, dtype: torch.dtype, rate: float, by_chance: bool) -> float:
    """How far the mean of many weights of 1 moves in SGD steps of gradient 1."""
    part = MadePart("unet.w", nn.Parameter(torch.ones(100_000, dtype=dtype)))
    optimizer = optimizer_over(
        [part],
        optimizer=SGD,
        rates={"learning_rate": rate},
        precision={"mixed": "fp16", "weights": "half", "stochastic_rounding": by_chance},
    )
    for step in range(steps):
        part.parameter.grad = torch.ones_like(part.parameter)
        optimizer.step(seed=step)
    return 1.0 - part.parameter.detach().double().mean().item()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_at_a_low_rate_only_chance_moves_half_weights(dtype: torch.dtype) -> None:
    assert move_for(20, dtype, 7.5e-6, by_chance=False) == 0.0
    # Steps below 1 are 2 ** -11 and 2 ** -8; the error of the mean of 100,000 draws is far below 10 %.
    assert move_for(20, dtype, 7.5e-6, by_chance=True) == pytest.approx(20 * 7.5e-6, rel=0.1)


def test_half_weights_move_in_portions_to_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made_parts(dtype=torch.bfloat16)
    take_steps(optimizer_over(whole, precision={"stochastic_rounding": False}), whole, 0, 4)
    monkeypatch.setattr(building, "PORTION", 60)
    parts = made_parts(dtype=torch.bfloat16)
    optimizer = optimizer_over(parts, precision={"stochastic_rounding": False})
    take_steps(optimizer, parts, 0, 4)
    assert len(optimizer.movers) > 3
    assert same(weights_of(parts), weights_of(whole))
    assert all(stand_in.numel() == 0 for mover in optimizer.movers for stand_in in mover.stand_ins)


def test_no_more_than_a_portion_is_lifted_while_the_optimizer_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lifted: list[list[int]] = []
    made = building.mover_of
    movers: list[Mover] = []

    def noted(key: Key, parts: Any) -> Mover:
        lifted.append([sum(one.numel() for one in mover.stand_ins) for mover in movers])
        movers.append(made(key, parts))
        return movers[-1]

    monkeypatch.setattr(building, "PORTION", 60)
    monkeypatch.setattr(building, "mover_of", noted)
    optimizer_over(made_parts(dtype=torch.bfloat16))
    assert len(lifted) > 3 and not any(map(any, lifted))


def test_half_weights_are_remembered_in_float32() -> None:
    parts = made_parts(dtype=torch.bfloat16)
    optimizer = optimizer_over(parts)
    take_steps(optimizer, parts, 0, 1)
    tensors, _ = optimizer.state()
    kept = {name: tensor.dtype for name, tensor in tensors.items() if name.endswith("exp_avg")}
    assert set(kept.values()) == {torch.float32} and len(kept) == len(parts)


@pytest.mark.needs("bitsandbytes>=0.50")
def test_closing_leaves_nothing_in_bitsandbytes_for_the_process() -> None:
    parts = made_parts()
    optimizer = optimizer_over(parts, optimizer={"name": "PagedAdamW8bit"})
    take_steps(optimizer, parts, 0, 1)
    library = optimizer.movers[0].made
    pages = library.page_mng.paged_tensors  # type: ignore[attr-defined]
    # On a card the library puts its large tensors there itself.
    pages.extend(library.state[parts[0].parameter].values())
    foreign = torch.ones(1)
    pages.append(foreign)
    optimizer.close()
    assert [id(kept) for kept in pages] == [id(foreign)]
    pages.clear()


def test_draws_of_a_library_follow_torchs_seed_and_leave_the_process_its_own() -> None:
    ends = []
    for number in (1, 2):
        random.seed(number)
        np.random.seed(number)
        kept, numpy_kept = random.getstate(), np.random.get_state()
        parts = made_parts([(8, 6), (6, 5)])
        # Balances its matrices at half of its steps, as NumPy's generator has it.
        kron = {"name": "Kron", "arguments": {"balance_prob": 0.5}}
        take_steps(optimizer_over(parts, 20, optimizer=kron, rates={"learning_rate": 0.1}), parts, 0, 12)
        ends.append(weights_of(parts))
        assert random.getstate() == kept
        assert np.array_equal(np.random.get_state()[1], numpy_kept[1])  # type: ignore[index]
    assert same(*ends)
