"""Charts and words of reports: whatever the numbers, something that can be read."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.jobs.report.curves import changes_of, spread
from lib_dreambooth.jobs.report.document import Chart, Line
from lib_dreambooth.jobs.report.svg import HEIGHT, WIDTH, axes_of, drawn, stretches, thinned, ticks
from lib_dreambooth.jobs.report.told import told_facts
from lib_dreambooth.jobs.report.words import counted, duration, moment, number, size
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Hashed

SPACE = "{http://www.w3.org/2000/svg}"
values = st.floats(width=32)
curves = st.lists(st.tuples(st.integers(0, 10**7), values), max_size=30).map(
    lambda found: tuple(sorted(found))
)


@given(curves, st.booleans(), st.booleans())
def test_any_curve_becomes_a_picture(points: tuple[tuple[int, float], ...], faint: bool, zero: bool) -> None:
    last = max((step for step, _ in points), default=0)
    chart = Chart("any", "A <title>", (Line("a & b", points, faint),), last, (last,), zero)
    picture = ElementTree.fromstring(drawn(chart, alone=True))
    assert picture.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    for line in picture.iter(f"{SPACE}polyline"):
        for pair in str(line.get("points")).split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH and (faint or 0 <= y <= HEIGHT)


def test_what_is_no_number_is_a_gap() -> None:
    points = ((1, 1.0), (2, 2.0), (3, math.nan), (4, 4.0), (5, math.inf))
    assert list(stretches(points)) == [[(1, 1.0), (2, 2.0)], [(4, 4.0)]]


def test_one_outlier_does_not_flatten_the_loss() -> None:
    points = (*((step, 0.1 + 0.001 * (step % 7)) for step in range(200)), (200, 50.0))
    assert axes_of(Chart("loss", "Loss", (Line("raw", points, is_faint=True),), 200)).high < 0.12
    assert axes_of(Chart("loss", "Loss", (Line("raw", points),), 200)).high > 50


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_are_few_round_and_inside(low: float, width: float, most: int) -> None:
    found = ticks(low, low + width, most)
    # No number lies between those that a float can hold.
    slack = 1e-6 * width + 4 * math.ulp(abs(low) + width)
    assert len(found) <= most + 1
    assert all(low - slack <= tick <= low + width + slack for tick in found)
    assert found == sorted(set(found))


def test_ticks_by_example() -> None:
    assert ticks(0, 300, 8) == [0, 50, 100, 150, 200, 250, 300]
    assert ticks(0, 3, 8, least_gap=1) == [0, 1, 2, 3]


def test_thinning_keeps_peaks_ends_and_gaps() -> None:
    points = [(step, math.sin(step)) for step in range(10_000)]
    points[4321] = (4321, 77.0)
    points[5000] = (5000, -77.0)
    found = thinned(points, places=100)
    assert len(found) <= 202
    assert {(4321, 77.0), (5000, -77.0), points[0], points[-1]} <= set(found)
    assert found == sorted(found)
    assert thinned(points[:50], places=100) == points[:50]


def test_norms_that_hardly_move_are_shown_as_changes() -> None:
    whole = Line("UNet", ((1, 100.0), (2, 101.0), (3, 99.5)))
    (found,), title = changes_of((whole,))
    assert title == "Weight norm, change in %"
    assert found.points == ((1, 0.0), (2, pytest.approx(1.0)), (3, pytest.approx(-0.5)))
    learnt = Line("UNet", ((1, 0.1), (2, 1.0)))
    assert changes_of((whole, learnt)) == ((whole, learnt), "Weight norm")


def test_a_few_of_many_with_both_ends() -> None:
    assert spread(list(range(100)), 4) == [0, 33, 66, 99]
    assert spread([1, 2], 4) == [1, 2]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (0.123456, "0.1235"), (math.nan, "nan"),
     (1234.5, "1234"), (-3e-7, "-3e-7"), (123456.0, "1.235e5")],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_sizes_times_and_counts() -> None:
    assert [size(count) for count in (12, 1500, 2_500_000, 7_400_000_000)] == [
        "12 bytes",
        "1.5 kB",
        "2.5 MB",
        "7.4 GB",
    ]
    assert [duration(seconds) for seconds in (0.4, 61, 3661)] == ["0 s", "1 min 01 s", "1 h 01 min"]
    assert moment(1_790_000_000) == "2026-09-21 14:13 UTC"
    assert moment(0) == moment(1e300) == "not known"
    assert [counted(1, "pause"), counted(2000, "pause")] == ["1 pause", "2,000 pauses"]


def test_what_is_told_leaves_out_what_there_is_none_of() -> None:
    base = BaseFacts("sdxl", "v", 1024, Hashed("a.safetensors", "cd" * 32))
    assert told_facts(base, DataFacts()) == {
        "base": "a.safetensors",
        "SHA-256 of the base": "cd" * 32,
        "family": "sdxl",
        "prediction": "v",
    }
