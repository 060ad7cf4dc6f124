"""The log of a model as starts, and which of them make up one run."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.jobs.report.parts import Part, cut, lineage_of
from lib_dreambooth.runs.events import (
    Event,
    Finished,
    Paused,
    Phase,
    Resumed,
    Saved,
    Started,
    Step,
    Warned,
)


def a_state(step: int) -> Saved:
    return Saved(paths=(f"states/step-{step:08d}",), what="state", step=step)


def first_steps(parts: Sequence[Part]) -> list[int]:
    return [part.first_step for part in parts]


events = st.one_of(
    st.builds(Started, run_id=st.sampled_from("abc"), first_step=st.integers(0, 30)),
    st.builds(Step, step=st.integers(0, 30), loss=st.just(0.1), time=st.floats(0, 100)),
    st.builds(a_state, st.integers(0, 30)),
    st.builds(Finished, outcome=st.just("done"), step=st.integers(0, 30)),
    st.builds(Phase, name=st.just("reading")),
    st.builds(Warned, text=st.just("a")),
    st.just(Paused()),
)


@given(st.lists(events, max_size=25), st.sampled_from(["", "a", "b", "z"]))
def test_any_log_is_cut_without_a_loss(found: list[Event], run_id: str) -> None:
    parts = cut(found)
    assert [event for part in parts for event in part.events] == found
    assert all(len(part.of(Started)) <= 1 and len(part.of(Finished)) <= 1 for part in parts)
    chain = lineage_of(parts, run_id)
    places = [next(number for number, part in enumerate(parts) if part is one) for one in chain]
    assert places == sorted(set(places))
    assert all(part.seconds >= 0 for part in parts)


def test_preparations_belong_to_the_start_behind_them() -> None:
    prepared = [Phase(name="reading"), Warned(text="blurred")]
    first = [*prepared, Started(run_id="a"), Step(step=1, loss=1), a_state(1)]
    second = [*prepared, Started(run_id="a", first_step=1)]
    assert [list(part.events) for part in cut([*first, *second])] == [first, second]


def test_a_start_follows_the_part_that_wrote_its_state() -> None:
    log = [
        Started(run_id="a"), a_state(40), Finished(outcome="cancelled", step=45),
        Started(run_id="b"), a_state(60), Finished(outcome="cancelled", step=60),
        Started(run_id="c", first_step=40), Finished(outcome="done", step=90),
    ]  # fmt: skip
    a, b, c = cut(log)
    assert lineage_of([a, b, c]) == [a, c]
    assert lineage_of([a, b, c], "b") == [b]
    # Without the line about the state: a kill fell between the two.
    a = Part(tuple(event for event in a.events if not isinstance(event, Saved)))
    assert lineage_of([a, c]) == [a, c]


def test_a_start_whose_origin_is_not_in_the_log_stands_alone() -> None:
    assert first_steps(lineage_of(cut([Started(run_id="a", first_step=5), Step(step=6, loss=1)]))) == [5]


def test_the_time_of_a_killed_part_leaves_out_pauses_and_clocks_set_back() -> None:
    log = [
        Warned(text="before", time=1.0), Started(run_id="a", time=100.0), Step(step=1, loss=1, time=110.0),
        Paused(time=112.0), Resumed(time=500.0, seconds_paused=388.0), Step(step=2, loss=1, time=505.0),
        Step(step=3, loss=1, time=400.0), Step(step=4, loss=1, time=403.0),
    ]  # fmt: skip
    (part,) = cut(log)
    assert part.seconds == 10 + 2 + 5 + 3
    assert part.seconds_paused == 388.0 and part.last_step == 4
