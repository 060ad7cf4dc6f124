"""How much class pictures count in the course of a run."""

from __future__ import annotations

import pytest

from lib_dreambooth.settings.length import LengthPlan, plan_epoch
from lib_dreambooth.training.objective.prior import class_weights
from tests.training.made_batches import made_run

PLAN = LengthPlan(plan_epoch((10,), 1), 40)
RELATION = {"class_pictures.relation": "mixed"}


def weights(changes: dict[str, object], plan: LengthPlan = PLAN) -> list[float]:
    weight = class_weights(made_run({**RELATION, **changes}).class_pictures, plan)
    return [weight(step) for step in (0, 10, 20, 30, 39)]


def test_it_stays_where_it_never_falls() -> None:
    assert weights({"class_pictures.weight": 0.7, "class_pictures.weight_min": 0.1}) == [0.7] * 5


@pytest.mark.parametrize("fall", ["20 steps", "2 epochs", "50 %"])
def test_it_falls_evenly_to_its_minimum(fall: str) -> None:
    changes = {
        "class_pictures.weight": 1.0,
        "class_pictures.weight_min": 0.2,
        "class_pictures.fall": fall,
    }
    assert weights(changes) == pytest.approx([1.0, 0.6, 0.2, 0.2, 0.2])


def test_a_minimum_above_the_weight_does_not_raise_it() -> None:
    changes = {
        "class_pictures.weight": 0.1,
        "class_pictures.weight_min": 0.5,
        "class_pictures.fall": "20 steps",
    }
    assert weights(changes) == [0.1] * 5


def test_a_part_of_an_endless_run_never_comes() -> None:
    changes = {"class_pictures.weight": 1.0, "class_pictures.fall": "50 %"}
    assert weights(changes, LengthPlan(PLAN.epoch, None)) == [1.0] * 5
