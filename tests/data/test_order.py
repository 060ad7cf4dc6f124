"""The order of visits: exact counts, even class pictures, the same for any split of the work."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from lib_dreambooth.data.item import Item
from lib_dreambooth.data.order.batches import MicroBatch, fixed_batches, split
from lib_dreambooth.data.order.plan import OrderSettings, Plan
from lib_dreambooth.settings.length import plan_epoch
from tests.data.made_items import made_item

pytestmark = pytest.mark.once

SHAPES = [(512, 512), (448, 576), (576, 448)]


def made_plan(
    pictures: int, class_pictures: int = 0, repeats: int = 1, shapes: int = 3, **settings: object
) -> Plan:
    items = [made_item(k, repeats=repeats) for k in range(pictures)]
    items += [made_item(k, is_class=True) for k in range(class_pictures)]
    buckets = [SHAPES[k % shapes] for k in range(pictures)]
    buckets += [SHAPES[k % shapes] for k in range(class_pictures)]
    return Plan(items, buckets, OrderSettings(**{"batch_size": 1} | settings))  # type: ignore[arg-type]


def steps_of_epoch(plan: Plan, epoch: int) -> list[list[MicroBatch]]:
    start = epoch * plan.steps_per_epoch
    return list(plan.steps(start, start + plan.steps_per_epoch))


def visits(steps: list[list[MicroBatch]], classes: bool = False) -> Counter[tuple[str, int]]:
    return Counter(
        (visit.item.id, visit.number)
        for step in steps
        for batch in step
        for visit in batch.visits
        if visit.item.is_class == classes
    )


def check_epoch(plan: Plan, epoch: int, repeats: int) -> None:
    steps = steps_of_epoch(plan, epoch)
    settings = plan.settings
    promised = Counter(
        (item.id, epoch * repeats + copy)
        for item in plan.items
        if not item.is_class
        for copy in range(repeats)
    )
    assert visits(steps) == promised
    for step in steps:
        assert 1 <= len(step) <= settings.accumulation * settings.processes
        own = sum(1 for batch in step for v in batch.visits if not v.item.is_class)
        places = own if settings.relation == "beside" else sum(len(batch.visits) for batch in step)
        assert all(abs(v.share - 1 / places) < 1e-12 for batch in step for v in batch.visits)
        for batch in step:
            per_place = 2 if settings.relation == "beside" else 1
            assert 1 <= len(batch.visits) <= settings.batch_size * per_place
    full = settings.accumulation * settings.processes
    assert all(len(step) == full for step in steps[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("relation", ["off", "mixed", "beside"])
@pytest.mark.parametrize("pictures", [1, 2, 7, 64])
def test_an_epoch_visits_every_item_as_often_as_its_repeats(pictures: int, relation: str) -> None:
    class_pictures = 0 if relation == "off" else 5
    for batch, accumulation, processes in itertools.product(range(1, 9), range(1, 5), (1, 2)):
        plan = made_plan(
            pictures,
            class_pictures,
            repeats=2,
            batch_size=batch,
            accumulation=accumulation,
            processes=processes,
            relation=relation,
        )
        for epoch in (0, 1, 5):
            check_epoch(plan, epoch, 2)


@pytest.mark.parametrize("relation", ["off", "mixed", "beside"])
def test_an_epoch_of_a_thousand_pictures(relation: str) -> None:
    for batch, accumulation, processes in ((1, 1, 1), (3, 2, 2), (8, 4, 2)):
        class_pictures = 0 if relation == "off" else 1500
        plan = made_plan(
            1000,
            class_pictures,
            batch_size=batch,
            accumulation=accumulation,
            processes=processes,
            relation=relation,
        )
        check_epoch(plan, 0, 1)
        check_epoch(plan, 3, 1)


def test_the_example_of_the_design() -> None:
    # 39 visits of 13 pictures in buckets of 25 and 14.
    items = [made_item(k, repeats=3) for k in range(12)] + [made_item(12, repeats=3)]
    items[8] = made_item(8, repeats=1)
    items[9] = made_item(9, repeats=5)
    buckets = [SHAPES[0] if k < 9 else SHAPES[1] for k in range(13)]
    plan = Plan(items, buckets, OrderSettings(batch_size=4, accumulation=2))
    assert plan.visits == {SHAPES[1]: 14, SHAPES[0]: 25}
    assert plan.epoch == plan_epoch((14, 25), 4, 2)
    assert plan.epoch.num_batches == 11 and plan.steps_per_epoch == 6
    steps = steps_of_epoch(plan, 0)
    assert [len(step) for step in steps] == [2, 2, 2, 2, 2, 1]


@pytest.mark.parametrize("relation", ["off", "mixed", "beside"])
def test_the_plan_agrees_with_the_definition_of_an_epoch(relation: str) -> None:
    plan = made_plan(7, 20, repeats=3, batch_size=2, accumulation=3, relation=relation)
    for epoch in range(4):
        steps = steps_of_epoch(plan, epoch)
        assert len(steps) == plan.epoch.steps
        sizes = Counter(batch.size for step in steps for batch in step)
        assert sorted(sizes.values()) == sorted(plan.epoch.batches)
        own = Counter()
        for step in steps:
            for batch in step:
                own[batch.size] += sum(1 for v in batch.visits if relation == "mixed" or not v.item.is_class)
        assert dict(own) == plan.visits
    assert plan.num_class_visits == (21 if relation == "mixed" else 0)


def test_a_step_is_the_same_whatever_was_asked_before_and_however_it_is_split() -> None:
    forward = made_plan(7, 5, repeats=3, batch_size=2, accumulation=4, relation="mixed")
    backward = made_plan(7, 5, repeats=3, batch_size=2, accumulation=2, processes=2, relation="mixed")
    count = forward.steps_per_epoch * 4
    first = [forward.step(k) for k in range(count)]
    second = [backward.step(k) for k in reversed(range(count))][::-1]
    assert first == second
    for step in first:
        one, two = split(step, 0, 2), split(step, 1, 2)
        assert len(one) == len(two)
        together = [batch for pair in zip(one, two, strict=True) for batch in pair if not batch.is_idle]
        assert together == step
        assert sum(v.share for b in one + two for v in b.visits) == pytest.approx(1.0)


def test_order_and_names_of_files_do_not_matter() -> None:
    items = [made_item(k, repeats=2) for k in range(9)]
    buckets = [SHAPES[k % 2] for k in range(9)]
    settings = OrderSettings(batch_size=2, seed=4)
    plan, other = Plan(items, buckets, settings), Plan(items[::-1], buckets[::-1], settings)
    assert [plan.step(k) for k in range(20)] == [other.step(k) for k in range(20)]


def test_the_order_changes_with_epoch_and_seed() -> None:
    plan, other = made_plan(64, seed=1), made_plan(64, seed=2)
    orders = [
        [v.item.id for step in steps_of_epoch(p, e) for b in step for v in b.visits]
        for p, e in ((plan, 0), (plan, 1), (other, 0))
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize("class_pictures", [1, 3, 7, 20, 50])
@pytest.mark.parametrize("relation", ["mixed", "beside"])
def test_class_pictures_take_turns_evenly(class_pictures: int, relation: str) -> None:
    plan = made_plan(7, class_pictures, batch_size=2, relation=relation)
    seen: Counter[str] = Counter()
    numbers: set[tuple[str, int]] = set()
    for epoch in range(20):
        found = visits(steps_of_epoch(plan, epoch), classes=True)
        assert found.total() == 7
        assert not numbers & set(found), "no visit has the number of an earlier one"
        numbers |= set(found)
        seen.update(name for name, _ in found.elements())
        counts = [seen[f"c{k:05d}"] for k in range(class_pictures)]
        assert max(counts) - min(counts) <= 1


def test_leaving_out_the_surplus_takes_the_first_ones_always() -> None:
    plan = made_plan(4, 10, relation="mixed", rotate_classes=False)
    for epoch in range(3):
        names = {name for name, _ in visits(steps_of_epoch(plan, epoch), classes=True)}
        assert names == {f"c{k:05d}" for k in range(4)}


def test_too_few_class_pictures_are_repeated_in_turn() -> None:
    plan = made_plan(7, 3, relation="mixed", rotate_classes=False)
    found = visits(steps_of_epoch(plan, 2), classes=True)
    assert sorted(Counter(name for name, _ in found).values()) == [2, 2, 3]


def test_class_pictures_beside_sit_in_the_bucket_of_their_neighbours() -> None:
    # All training pictures are tall; class pictures of any shape are cut to that.
    items = [made_item(k) for k in range(6)] + [made_item(k, is_class=True) for k in range(3)]
    buckets = [SHAPES[1]] * 6 + [SHAPES[0], SHAPES[1], SHAPES[2]]
    plan = Plan(items, buckets, OrderSettings(batch_size=2, relation="beside"))
    for step in steps_of_epoch(plan, 0):
        for batch in step:
            assert batch.size == SHAPES[1]
            assert [v.item.is_class for v in batch.visits] == [False, False, True, True]
    assert {(i.id, s) for i, s in plan.pairs_of_epoch(0)} == {(i.id, SHAPES[1]) for i in items}


def test_class_pictures_keep_their_own_bucket_where_rounds_are_whole() -> None:
    plan = made_plan(12, 6, relation="mixed", batch_size=2)
    own = {item.id: bucket for item, bucket in zip(plan.items, plan.buckets, strict=True)}
    for step in steps_of_epoch(plan, 3):
        for batch in step:
            assert all(own[visit.item.id] == batch.size for visit in batch.visits)


def test_class_weight_and_concept_weight_stand_in_the_shares() -> None:
    items = [made_item(0), made_item(1, concept=1), made_item(0, is_class=True)]
    settings = OrderSettings(batch_size=4, relation="mixed")
    plan = Plan(items, [SHAPES[0]] * 3, settings, weights={1: 0.5})
    shares = {(v.item.id): v.share for v in plan.step(0, class_weight=0.25)[0].visits if v.item.is_class}
    assert set(shares.values()) == {0.25 / 3}
    own = {v.item.id: v.share for v in plan.step(0)[0].visits if not v.item.is_class}
    assert own == {"a00000": 1 / 3, "a00001": 0.5 / 3}


def test_a_concepts_own_class_pictures_serve_it_alone() -> None:
    items: list[Item] = [made_item(k, concept=0) for k in range(4)]
    items += [made_item(10 + k, concept=1) for k in range(4)]
    items += [made_item(k, concept=0, is_class=True) for k in range(2)]
    items += [made_item(50 + k, concept=7, is_class=True) for k in range(2)]
    plan = Plan(items, [SHAPES[0]] * 12, OrderSettings(batch_size=1, relation="beside"))
    for step in steps_of_epoch(plan, 0):
        own, beside = step[0].visits
        assert beside.item.concept == (0 if own.item.concept == 0 else 7)


def test_a_concept_without_class_pictures_stands_alone() -> None:
    items = [made_item(0), made_item(1, concept=1), made_item(0, is_class=True)]
    plan = Plan(items, [SHAPES[0]] * 3, OrderSettings(batch_size=1, relation="beside"))
    found = {step[0].visits[0].item.id: len(step[0].visits) for step in steps_of_epoch(plan, 0)}
    assert found == {"a00000": 2, "a00001": 1}


def test_relation_off_leaves_class_pictures_out() -> None:
    assert not visits(steps_of_epoch(made_plan(3, 5), 0), classes=True)


def test_measuring_takes_every_item_once_in_a_fixed_order() -> None:
    items = [made_item(k) for k in range(5)]
    buckets = [SHAPES[k % 2] for k in range(5)]
    batches = fixed_batches(items, buckets, 2)
    assert [[v.item.id for v in b.visits] for b in batches] == [
        ["a00001", "a00003"], ["a00000", "a00002"], ["a00004"],
    ]  # fmt: skip
    assert sum(v.share for b in batches for v in b.visits) == pytest.approx(1.0)
    assert fixed_batches(items[::-1], buckets[::-1], 2) == batches


@pytest.mark.slow
@pytest.mark.parametrize("relation", ["off", "mixed", "beside"])
def test_a_thousand_pictures_over_the_whole_grid(relation: str) -> None:
    class_pictures = 0 if relation == "off" else 300
    for batch, accumulation, processes in itertools.product(range(1, 9), range(1, 5), (1, 2)):
        plan = made_plan(
            1000,
            class_pictures,
            batch_size=batch,
            accumulation=accumulation,
            processes=processes,
            relation=relation,
        )
        check_epoch(plan, 1, 1)
