"""Schedules over runs of any length: where they start, peak and end; what is drawn is what is used."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import nn

from lib_dreambooth import settings
from lib_dreambooth.base.durations import Duration, round_half_up, steps
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.settings.length import LengthPlan, plan_epoch, plan_length
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sections.rates import SCHEDULES
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.rates.of_run import Rates, curve, rates_of
from tests.training.made_parts import MadePart, plan_of

pytestmark = pytest.mark.once

NAMES = [name for name in SCHEDULES if name != "piecewise_constant"]
LAST_IS_FLOOR = {"linear", "cosine", "cosine_with_restarts", "polynomial", "rex", "one_cycle"}
RATE = 0.5

plans = st.builds(
    lambda visits, batch, accumulation, processes, length: plan_length(
        plan_epoch(visits, batch, accumulation, processes), steps(length)
    ),
    st.lists(st.integers(1, 300), min_size=1, max_size=3),
    st.integers(1, 8),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 5000),
)
warmups = (
    st.integers(0, 6000).map(lambda n: Duration(n, "steps"))
    | st.floats(0, 100).map(lambda share: Duration(share, "percent"))
    | st.floats(0, 3).map(lambda epochs: Duration(epochs, "epochs"))
)


def run_with(**changes: Any) -> Run:
    """The default settings with changes whose sum may be odd: the form would warn of some."""
    run = settings.defaults().run
    rates = type(run.rates)(**{"learning_rate": RATE, **changes})
    return type(run)(**{**{name: getattr(run, name) for name in run.__struct_fields__}, "rates": rates})


def used(rates: Rates, plan: LengthPlan) -> list[float]:
    assert plan.total_steps is not None
    return [rates.at(UNET, step) for step in range(plan.total_steps)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(plan=plans, warmup=warmups, restarts=st.integers(1, 12), floor=st.sampled_from([0.0, 0.1, 0.37]))
@examples(max_examples=30, deadline=None)
def test_it_starts_peaks_and_ends_where_its_name_says(
    name: str, plan: LengthPlan, warmup: Duration, restarts: int, floor: float
) -> None:
    run = run_with(
        schedule=name, warmup=warmup, restarts=restarts, floor=floor, decay=Duration(20, "percent")
    )
    rates = rates_of(run, plan)
    total = plan.total_steps
    assert total is not None
    asked = plan.steps_of(warmup)
    assert asked is not None and rates.schedule.num_steps == total
    rise = min(asked, total - 1)
    assert rates.schedule.warmup == rise
    seen = used(rates, plan)
    peak = seen.index(max(seen))
    after = seen[peak:]
    if name == "one_cycle":
        assert (seen[0] == RATE / 25) is (peak > 0)
        assert peak == (rise or min(round_half_up(total * 0.3), max(total - 2, 0))) or total * 0.3 % 1 == 0.5
    else:
        assert seen[0] == RATE / (rise + 1) or seen[0] == max(seen)
        falls_at_once = name == "warmup_stable_decay" and rates.schedule.decay >= total - rise
        assert peak == rise or falls_at_once
        assert all(value == RATE * (step + 1) / (rise + 1) for step, value in enumerate(seen[:rise]))
    assert max(seen) == RATE or name == "warmup_stable_decay"
    if name == "cosine_with_restarts":
        falls = [step for step in range(rise + 1, total) if seen[step] > seen[step - 1]]
        assert (
            len(falls) == max(0, min(restarts, total - rise) - 1) or floor == 1 or total - rise < 2 * restarts
        )
    else:
        assert all(later <= earlier for earlier, later in pairwise(after))
    if (
        name in LAST_IS_FLOOR
        and len(after) > 1
        and (name != "cosine_with_restarts" or total - rise >= 2 * restarts)
    ):
        assert seen[-1] == RATE * floor
    if name == "constant":
        assert seen[-1] == RATE


@given(plan=plans, share=st.floats(0.1, 100))
@examples(max_examples=60, deadline=None)
def test_a_share_is_of_optimizer_steps_and_not_of_batches(plan: LengthPlan, share: float) -> None:
    rates = rates_of(run_with(schedule="linear", warmup=Duration(share, "percent")), plan)
    assert plan.total_steps is not None
    wished = round_half_up(share * plan.total_steps / 100)
    assert used(rates, plan).index(RATE) == min(wished, plan.total_steps - 1)


@pytest.mark.parametrize("accumulation", [1, 2, 7])
def test_accumulation_leaves_the_schedule_on_steps(accumulation: int) -> None:
    plan = plan_length(plan_epoch([13 * 3], 4, accumulation), Duration(6, "epochs"))
    assert plan.total_steps == 6 * {1: 10, 2: 5, 7: 2}[accumulation]
    seen = used(rates_of(run_with(schedule="linear"), plan), plan)
    assert (seen[0], seen[-1], len(seen)) == (RATE, 0.0, plan.total_steps)
    assert seen == sorted(seen, reverse=True)


PIECES = {"schedule": "piecewise_constant", "pieces": "1:7,0.5:20,0.25"}
SHAPES: dict[str, dict[str, Any]] = {name: {"schedule": name} for name in NAMES}
SHAPES |= {"piecewise_constant": PIECES, "restarts": {"schedule": "cosine_with_restarts", "restarts": 4}}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [False, True])
def test_the_curve_drawn_before_is_the_rates_used(shape: str, scale: bool) -> None:
    run = settings.read(
        {
            "rates": {"learning_rate": 0.01, "warmup": "10 %", "scale": scale, **SHAPES[shape]},
            "length": {"batch_size": 2, "accumulation": 3},
            "parts": {"text_encoder_1": {"rate": 0.004, "start": "5 steps", "stop": "75 %"}},
        }
    ).run
    plan = plan_of(40)
    drawn = {part: dict(points) for part, points in curve(run, plan, processes=2).items()}
    parts = [MadePart(f"{part}.w", nn.Parameter(torch.ones(1)), part) for part in (UNET, TEXT)]
    optimizer = new_optimizer(
        run.__class__(**{**_fields(run), "optimizer": _sgd(run)}), parts, plan, processes=2
    )
    for step in range(40):
        optimizer.set_rates(step)
        before = {part.part: part.parameter.item() for part in parts}
        for part in parts:
            part.parameter.grad = torch.ones(1)
        optimizer.clip()
        optimizer.step()
        assert optimizer.learning_rates() == {part: points[step] for part, points in drawn.items()}
        for part in parts:
            moved = before[part.part] - part.parameter.item()
            assert moved == pytest.approx(drawn[part.part][step], abs=1e-6)
    factor = 12 if scale else 1
    assert max(drawn[UNET].values()) == pytest.approx(0.01 * factor, rel=0.02)
    assert [step for step, rate in drawn[TEXT].items() if rate > 0 or step == 39][:1] == [5]
    assert drawn[TEXT][4] == 0 and drawn[TEXT][30] == 0
    assert (run.rates.learning_rate, run.parts.text_encoder_1.rate) == (0.01, 0.004)


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__struct_fields__}


def _sgd(run: Run) -> Any:
    return type(run.optimizer)(name="SGD", weight_decay=0.0, max_grad_norm=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@given(plan=plans, warmup=warmups)
@examples(max_examples=15, deadline=None)
def test_between_drawn_points_nothing_is_hidden(shape: str, plan: LengthPlan, warmup: Duration) -> None:
    """A line through the points is the rate of every step, within a twentieth of the whole rate."""
    run = run_with(**{**SHAPES[shape], "warmup": warmup})
    rates = rates_of(run, plan)
    points = curve(run, plan)[UNET]
    for (first, low), (last, high) in pairwise(points):
        for step in {first, (first + last) // 2, last}:
            on_line = low + (high - low) * (step - first) / (last - first)
            assert abs(rates.at(UNET, step) - on_line) <= RATE / 20


WINDOWS = [
    ("3 steps", "30 steps", 3, 30),
    ("1 epochs", "2.5 epochs", 10, 25),
    ("10 %", "50 %", 4, 20),
    ("0 %", "100 %", 0, 40),
    ("7 steps", "2 epochs", 7, 20),
]


@pytest.mark.parametrize(("start", "stop", "first", "after"), WINDOWS)
def test_a_part_moves_in_its_window(start: str, stop: str, first: int, after: int) -> None:
    run = settings.read({"parts": {"text_encoder_1": {"start": start, "stop": stop, "rate": 0.25}}}).run
    rates = rates_of(run, plan_of(40))
    assert [step for step in range(40) if rates.at(TEXT, step) > 0] == list(range(first, after))
    assert {rates.at(TEXT, step) for step in range(first, after)} == {0.25}
    assert all(rates.at(UNET, step) > 0 for step in range(40))
