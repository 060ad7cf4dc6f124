"""Events: one JSON form, both ways, for this version and the next."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs import events
from lib_dreambooth.runs.events import (
    KINDS,
    Event,
    Finished,
    Phase,
    Sampled,
    Saved,
    Started,
    Step,
    Unknown,
    Warned,
    from_json,
    from_line,
    to_json,
    to_line,
)

numbers = st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
by_name = st.dictionaries(texts, numbers, max_size=3)
SOME: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**60), 2**60),
    "float": numbers,
    "str": texts,
    "int | None": st.none() | st.integers(0, 2**60),
    "float | None": st.none() | numbers,
    "tuple[str, ...]": st.lists(texts, max_size=3).map(tuple),
    "Mapping[str, float]": by_name,
    "Mapping[str, int]": st.dictionaries(texts, st.integers(0, 2**60), max_size=3),
    "Mapping[str, str]": st.dictionaries(texts, texts, max_size=3),
}


def some(kind: type[Event]) -> st.SearchStrategy[Event]:
    fields = {field.name: SOME[str(field.type)] for field in dataclasses.fields(kind)}
    return st.builds(kind, **(fields | {"time": st.floats(0, 1e11)}))


@given(st.one_of([some(kind) for kind in KINDS.values()]))
def test_every_event_comes_back_from_its_line(event: Event) -> None:
    line = to_line(event)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert from_line(line) == event
    # What a browser would accept.
    json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_the_json_form_of_a_step() -> None:
    event = Step(step=3, loss=0.25, rates={"unet": 1e-4}, memory={"allocated": 7}, sequence=9, time=1.5)
    assert to_json(event) == {
        "kind": "step",
        "sequence": 9,
        "time": 1.5,
        "step": 3,
        "epoch": 0.0,
        "loss": 0.25,
        "smoothed": None,
        "rates": {"unet": 1e-4},
        "grad_norm": None,
        "steps_per_second": None,
        "seconds_left": None,
        "memory": {"allocated": 7},
        "weight_norms": {},
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_survive(value: float) -> None:
    found = from_line(to_line(Step(step=1, loss=value, rates={"unet": value})))
    assert isinstance(found, Step)
    assert repr(found.loss) == repr(value) and repr(found.rates["unet"]) == repr(value)


def test_an_event_of_a_newer_version_is_kept_whole() -> None:
    data = {"kind": "dreamt", "sequence": 4, "time": 2.0, "sheep": ["a", {"b": 1}]}
    event = from_json(data)
    assert isinstance(event, Unknown) and event.kind == "dreamt" and event.sequence == 4
    assert to_json(event) == data


def test_a_known_name_with_another_meaning_is_kept_whole() -> None:
    data = {"kind": "step", "sequence": 4, "time": 2.0, "step": "third", "loss": 1.0}
    event = from_json(data)
    assert isinstance(event, Unknown)
    assert to_json(event) == data
    assert isinstance(from_json({"kind": "saved", "sequence": 1, "time": 0}), Unknown)


def test_fields_of_a_newer_version_are_left_out() -> None:
    data = to_json(Warned(text="a", sequence=1)) | {"colour": "red"}
    assert from_json(data) == Warned(text="a", sequence=1)


@pytest.mark.parametrize(
    "data",
    [{}, {"kind": "step"}, {"kind": 1, "sequence": 1, "time": 0},
     {"kind": "step", "sequence": "1", "time": 0},
     {"kind": "step", "sequence": True, "time": 0}, {"kind": "step", "sequence": 1, "time": None},
     {"kind": "step", "sequence": 1, "time": "inf"}],
)  # fmt: skip
def test_what_is_no_event_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        from_json(data)


@given(st.binary(max_size=60))
def test_no_line_of_any_kind_raises(line: bytes) -> None:
    found = from_line(line)
    assert found is None or isinstance(found, Event)


def test_broken_surrogates_are_written_all_the_same() -> None:
    assert from_line(to_line(Warned(text="a\udc80b"))) == Warned(text="a?b")


def test_events_name_what_a_user_can_put_right() -> None:
    error = UserError("no.", where="a", todo="b", code="c")
    assert events.finished_with(error, 5, 2.0) == Finished(
        outcome="failed", step=5, seconds=2.0, what="no.", where="a", todo="b", code="c"
    )


def test_each_kind_has_one_name() -> None:
    assert len(set(KINDS.values())) == len(KINDS)
    for name, kind in KINDS.items():
        assert events.KIND_OF[kind] == name
    for event in (
        Started(run_id="a"), Phase(name="caching", done=1), Saved(paths=("a",), what="state", step=1),
        Sampled(files=("a",), step=1),
    ):  # fmt: skip
        assert from_json(to_json(event)) == event
