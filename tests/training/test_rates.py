from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth import settings
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.settings.sections.rates import SCHEDULES
from lib_dreambooth.training.rates.of_run import curve, drawn_steps, rates_of, schedule_of
from lib_dreambooth.training.rates.schedules import Schedule, factor
from tests.training.made_parts import plan_of

FALLS_TO_THE_FLOOR = [
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "warmup_stable_decay",
    "rex",
    "one_cycle",
]

# A run without an end has no fifth of itself to save and draw after.
ENDLESS = {
    "length": {"train_for": "until stopped"},
    "saving": {"every": "500 steps"},
    "previews": {"every": "500 steps"},
}


def factors(name: str, num_steps: int, **values: Any) -> list[float]:
    schedule = Schedule(name, num_steps, **values)
    return [factor(schedule, step) for step in range(num_steps)]


def rates_for(num_steps: int | None, **tables: Any) -> Any:
    return rates_of(settings.read(tables).run, plan_of(num_steps))


@given(
    name=st.sampled_from(list(SCHEDULES)),
    num_steps=st.integers(1, 300),
    warmup=st.integers(0, 299),
    restarts=st.integers(1, 20),
    decay=st.integers(0, 300),
    floor=st.floats(0, 1),
    power=st.floats(0.1, 5),
)
def test_every_schedule_stays_between_nothing_and_the_whole_rate(
    name: str, num_steps: int, warmup: int, restarts: int, decay: int, floor: float, power: float
) -> None:
    warmup = min(warmup, num_steps - 1)
    seen = factors(
        name, num_steps, warmup=warmup, restarts=restarts, decay=decay, floor=floor, power=power, timescale=9
    )
    assert all(0 <= value <= 1 for value in seen)
    assert seen[0] > 0 or (name == "one_cycle" and floor == 0) or num_steps == 1 or decay
    assert max(seen) == 1 or (name == "warmup_stable_decay" and decay >= num_steps - warmup)


@given(num_steps=st.integers(2, 300), warmup=st.integers(0, 100), floor=st.floats(0, 0.99))
@pytest.mark.parametrize("name", FALLS_TO_THE_FLOOR)
def test_what_falls_ends_at_the_floor(name: str, num_steps: int, warmup: int, floor: float) -> None:
    warmup = min(warmup, num_steps - 2)
    seen = factors(name, num_steps, warmup=warmup, decay=1, floor=floor)
    assert seen[-1] == floor


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one_cycle"])
def test_warm_up_rises_evenly_and_its_first_step_moves(name: str) -> None:
    seen = factors(name, 20, warmup=4, timescale=5, decay=5)
    assert seen[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_constant() -> None:
    assert factors("constant", 4) == [1, 1, 1, 1]


def test_linear() -> None:
    assert factors("linear", 5) == [1, 0.75, 0.5, 0.25, 0]
    assert factors("linear", 5, floor=0.5) == [1, 0.875, 0.75, 0.625, 0.5]


def test_cosine() -> None:
    assert factors("cosine", 5) == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]
    )


def test_cosine_falls_all_the_way_and_does_not_climb_back() -> None:
    seen = factors("cosine", 100)
    assert seen == sorted(seen, reverse=True)


def test_restarts_are_falls_from_the_whole_rate() -> None:
    assert factors("cosine_with_restarts", 9, restarts=3) == pytest.approx([1, 0.5, 0] * 3)
    uneven = factors("cosine_with_restarts", 10, restarts=3)
    assert [step for step, value in enumerate(uneven) if value == 1] == [0, 3, 6]
    assert uneven[-1] == 0


def test_one_restart_is_a_plain_cosine() -> None:
    assert factors("cosine_with_restarts", 17, warmup=3) == factors("cosine", 17, warmup=3)


def test_polynomial() -> None:
    assert factors("polynomial", 5, power=2.0) == [1, 0.5625, 0.25, 0.0625, 0]
    assert factors("polynomial", 5) == factors("linear", 5)


def test_inverse_square_root_has_fallen_to_seven_tenths_after_its_timescale() -> None:
    seen = factors("inverse_sqrt", 100, warmup=3, timescale=20)
    assert seen[3] == 1
    assert seen[23] == pytest.approx(math.sqrt(0.5))
    assert factors("inverse_sqrt", 100, timescale=1, floor=0.25)[-1] == 0.25


def test_warm_up_stable_decay() -> None:
    seen = factors("warmup_stable_decay", 10, warmup=2, decay=4, floor=0.5)
    assert seen[2:6] == [1, 1, 1, 1]
    assert seen[6:] == pytest.approx([0.9267766952966369, 0.75, 0.5732233047033631, 0.5])


def test_rex() -> None:
    assert factors("rex", 5) == pytest.approx([1, 6 / 7, 2 / 3, 0.4, 0])


def test_one_cycle_rises_peaks_and_falls() -> None:
    seen = factors("one_cycle", 11)
    assert seen[0] == 1 / 25
    assert seen[3] == 1 and max(seen) == 1
    assert seen[-1] == 0
    assert factors("one_cycle", 11, warmup=5).index(1.0) == 5


def test_pieces_last_up_to_their_step() -> None:
    pieces = ((1.0, 2), (0.5, 4), (0.25, None))
    assert factors("piecewise_constant", 6, pieces=pieces) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert factors("piecewise_constant", 6, pieces=pieces, warmup=3)[:4] == [0.25, 0.5, 0.375, 0.5]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_single_step_is_taken_with_the_whole_rate(name: str) -> None:
    if name != "warmup_stable_decay":
        assert factors(name, 1) == [1]


def test_past_the_end_the_rate_stays() -> None:
    assert factor(Schedule("linear", 5, floor=0.1), 99) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"warmup": "10 %"}, "warmup", 20),
        ({"warmup": "2 epochs"}, "warmup", 20),
        ({"warmup": "7 steps"}, "warmup", 7),
        ({"schedule": "cosine_with_restarts", "restarts": 4}, "restarts", 4),
        ({"schedule": "polynomial", "power": 2.5}, "power", 2.5),
        ({"schedule": "inverse_sqrt", "timescale": "30 steps"}, "timescale", 30),
        ({"schedule": "inverse_sqrt"}, "timescale", 10),
        ({"schedule": "inverse_sqrt", "warmup": "15 steps"}, "timescale", 15),
        ({"schedule": "warmup_stable_decay", "decay": "25 %"}, "decay", 50),
        ({"schedule": "cosine", "floor": 0.25}, "floor", 0.25),
        ({"schedule": "piecewise_constant", "pieces": "1:9,0.5"}, "pieces", ((1.0, 9), (0.5, None))),
    ],
)
def test_settings_become_a_schedule_in_steps(changes: dict[str, Any], field: str, value: Any) -> None:
    run = settings.read({"rates": changes}).run
    assert getattr(schedule_of(run, plan_of(200)), field) == value


def test_a_warm_up_as_long_as_the_run_reaches_the_whole_rate_at_the_end() -> None:
    run = settings.read({"rates": {"warmup": "100 %"}}).run
    schedule = schedule_of(run, plan_of(10))
    assert factor(schedule, 9) == 1


def test_an_endless_run_has_a_rate_at_every_step() -> None:
    tables = {**ENDLESS, "rates": {"learning_rate": 1.0}}
    constant = rates_for(None, **tables)
    assert [constant.at(UNET, step) for step in (0, 10**6)] == [1.0, 1.0]
    tables["rates"] = {"learning_rate": 1.0, "schedule": "inverse_sqrt"}
    falling = rates_for(None, **tables)
    assert falling.at(UNET, 1000) == pytest.approx(math.sqrt(0.5))


def test_parts_have_rates_of_their_own_or_the_common_one() -> None:
    rates = rates_for(
        100,
        model={"family": "sdxl"},
        rates={"learning_rate": 0.5},
        parts={
            "text_encoder_1": {"rate": 0.25},
            "text_encoder_2": {"train": True, "rate": 0.125},
            "words": {"train": True, "rate": 2.0},
        },
        words=[{"name": "sks", "vectors": 1}],
    )
    assert {part: rates.at(part, 0) for part in rates.parts} == {
        UNET: 0.5,
        TEXT: 0.25,
        TEXT_2: 0.125,
        "words": 2.0,
    }


@pytest.mark.parametrize(
    ("section", "part"),
    [("unet", UNET), ("text_encoder_1", TEXT), ("text_encoder_2", TEXT_2), ("words", "words")],
)
def test_windows_open_and_close_at_their_steps(section: str, part: str) -> None:
    rates = rates_for(
        100,
        model={"family": "sdxl"},
        parts={section: {"train": True, "rate": 1.0, "start": "1 epochs", "stop": "60 %"}},
        words=[{"name": "sks", "vectors": 1}],
    )
    assert [rates.at(part, step) for step in (9, 10, 59, 60)] == [0, 1, 1, 0]
    assert not rates.parts[part].has_stopped(59) and rates.parts[part].has_stopped(60)


def test_scale_multiplies_by_batch_accumulation_and_cards() -> None:
    run = settings.read(
        {"rates": {"learning_rate": 0.01, "scale": True}, "length": {"batch_size": 2, "accumulation": 3}}
    ).run
    assert rates_of(run, plan_of(10), processes=4).at(UNET, 0) == pytest.approx(0.24)
    assert run.rates.learning_rate == 0.01


def test_the_curve_has_the_ends_and_the_corners() -> None:
    run = settings.read(
        {
            "rates": {
                "learning_rate": 1.0,
                "schedule": "cosine_with_restarts",
                "restarts": 3,
                "warmup": "100 steps",
            },
            "parts": {"text_encoder_1": {"rate": 0.5, "stop": "5000 steps"}},
        }
    ).run
    drawn = curve(run, plan_of(10_000))
    assert drawn[UNET][0] == (0, pytest.approx(1 / 101)) and drawn[UNET][-1] == (9999, 0.0)
    assert dict(drawn[UNET])[100] == 1.0 and dict(drawn[UNET])[3400] == 1.0 and dict(drawn[UNET])[6700] == 1.0
    assert dict(drawn[TEXT])[4999] > 0 and dict(drawn[TEXT])[5000] == 0
    assert len(drawn[UNET]) < 520


def test_the_curve_of_an_endless_run_goes_as_far_as_asked() -> None:
    run = settings.read({**ENDLESS, "rates": {"learning_rate": 1.0}}).run
    assert curve(run, plan_of(None), num_steps=50)[UNET][-1] == (49, 1.0)


@given(count=st.integers(1, 2000), points=st.integers(2, 50))
def test_drawn_steps_are_steps_of_the_run_in_order(count: int, points: int) -> None:
    run = settings.read({"rates": {"schedule": "one_cycle"}}).run
    drawn = drawn_steps(rates_of(run, plan_of(count)), UNET, count, points)
    assert drawn == sorted(set(drawn)) and drawn[0] == 0 and drawn[-1] == count - 1
