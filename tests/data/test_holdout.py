"""Pictures held back for measuring."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.data.holdout import groups, hold_out, source_name, too_few
from lib_dreambooth.data.item import Item
from tests.data.made_items import made_item


def held(items: list[Item], share: float = 0.3, seed: int = 0, **more: object) -> set[str]:
    return {item.id for item in hold_out(items, share, seed, **more).held_out}  # type: ignore[arg-type]


@given(st.sets(st.integers(0, 10_000), max_size=60), st.integers(0, 10_000), st.integers(0, 5))
def test_adding_a_picture_moves_no_other(numbers: set[int], added: int, seed: int) -> None:
    before = held([made_item(k) for k in sorted(numbers)], seed=seed)
    after = held([made_item(k) for k in sorted(numbers | {added})], seed=seed)
    assert after - {made_item(added).id} == before - {made_item(added).id}


def test_about_the_share_is_held_back_and_nothing_is_lost() -> None:
    items = [made_item(k) for k in range(3000)]
    split = hold_out(items, 0.2, 1)
    assert 530 < len(split.held_out) < 670
    assert {i.id for i in split.training} | {i.id for i in split.held_out} == {i.id for i in items}
    assert not {i.id for i in split.training} & {i.id for i in split.held_out}
    assert held(items, seed=2) != held(items, seed=1)


def test_names_and_order_do_not_matter() -> None:
    items = [made_item(k) for k in range(50)]
    renamed = [replace(item, path=f"/other/{k}.png") for k, item in enumerate(items[::-1])]
    assert held(items) == held(renamed)


def test_class_pictures_are_never_held_back() -> None:
    items = [made_item(k, is_class=True) for k in range(50)]
    assert hold_out(items, 0.9, 0).training == tuple(items)


def test_copies_crops_and_near_duplicates_stay_together() -> None:
    items = []
    for k in range(40):
        whole = replace(made_item(k), path=f"/p/{k}.png")
        items += [
            whole,
            replace(whole, id=f"{whole.id}-2", path=f"/p/copy of {k}.png"),
            replace(made_item(100 + k), path=f"/p/{k}_10_20_30_40.png"),
            replace(made_item(200 + k), path=f"/p/{k}_face1.webp"),
            replace(made_item(300 + k), path=f"/q/near {k}.jpg"),
        ]
    related = [(made_item(k).id, made_item(300 + k).id) for k in range(40)]
    found = groups(items, related)
    assert [len(group) for group in found] == [5] * 40
    back = held(items, related=related)
    assert 0 < len(back) < 200
    for group in found:
        assert len({item.id in back for item in group}) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [("a_1_2_3_4", "a"), ("a_face", "a"), ("a-head", "a"), ("a_person_half", "a"), ("a_face01", "a_face01"),
     ("riho", "riho"), ("face", "face"), ("surface", "surface"), ("a_crop", "a")],
)  # fmt: skip
def test_the_source_of_a_crop_by_its_name(name: str, source: str) -> None:
    item = replace(made_item(0), path=f"/p/{name}.png")
    assert source_name(item).endswith(f"p/{source}") or source_name(item).endswith(f"p\\{source}")


def test_a_numbered_series_is_not_taken_for_crops() -> None:
    series = [replace(made_item(k), path=f"/p/riho_face{k:02d}.png") for k in range(20)]
    assert len(groups(series)) == 20
    assert len(groups([*series, replace(made_item(99), path="/p/riho.png")])) == 1


def test_what_was_held_back_before_stays_and_new_crops_follow() -> None:
    items = [replace(made_item(k), path=f"/p/{k}.png") for k in range(30)]
    before = {item.content: item.id in held(items) for item in items}
    crops = [replace(made_item(100 + k), path=f"/p/{k}_face.png") for k in range(30)]
    back = held([*crops, *items], earlier=before)
    for k in range(30):
        assert (made_item(100 + k).id in back) == (made_item(k).id in back) == before[items[k].content]


def test_a_group_that_was_trained_on_in_part_is_not_measured_on() -> None:
    one, other = replace(made_item(1), path="/p/1.png"), replace(made_item(2), path="/p/2.png")
    earlier = {one.content: True, other.content: False}
    assert held([one, other], related=[(one.id, other.id)], earlier=earlier) == set()


def test_an_empty_split_is_remarked() -> None:
    items = [made_item(k) for k in range(2)]
    assert too_few(hold_out(items, 0.0, 0), 0.0) is None
    nothing = next(hold_out(items, 0.01, s) for s in range(50) if not hold_out(items, 0.01, s).held_out)
    found = too_few(nothing, 0.01)
    assert found is not None and found.code == "held-out-empty" and "2 pictures 0" in found.what
