from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli.setting_flags import split
from lib_dreambooth.settings.convert import shown
from lib_dreambooth.settings.fields import all_fields, value_at

# A typed text for each kind of setting, other than its default.
ODD = {"switch": "", "texts": "one, two", "wholes": "3, 4", "numbers": "0.5, 1", "size": "256x512"}
TABLES = {"whole table": "mid*=3", "number table": "mid*=0.5", "table": "a=1; b=x"}


def odd_text(path: str) -> str:
    """A typed text for a setting that is not its default."""
    field = next(field for field in all_fields() if field.path == path)
    option = field.option
    if field.kind == "overrides":
        return "captions.shuffle=true"
    if field.kind in TABLES:
        return TABLES[field.kind]
    if option.choices and field.kind != "texts":
        return next(str(value) for value in option.choices if value != field.default)
    if field.kind == "texts" and option.choices:
        return "diffusers"
    if field.kind == "duration":
        return f"7 {option.units[0]}"
    if field.kind == "switch":
        return "off" if field.default else "on"
    if field.kind in ("whole", "number"):
        high = 10 if option.high is None else option.high
        return shown(high if field.default != high else option.low)
    if field.kind == "text":
        return "#010203" if option.picks == "colour" else "odd text"
    return ODD[field.kind]


@pytest.mark.parametrize("form", [["--{0}", "{1}"], ["--{0}={1}"], ["--set", "{0}={1}"]], ids=" ".join)
def test_every_field_is_a_flag(form: list[str]) -> None:
    for field in all_fields():
        path = field.path.replace("*", "0")
        text = odd_text(field.path)
        words = [part.format(path, text) for part in form]
        pairs, rest = split(["train", *words, "end"])
        assert rest == ["train", "end"]
        assert pairs == [(path, text)], field.path
        found = settings.review_typed(pairs)
        assert [problem for problem in found.problems if problem.code != "contradiction"] == [], field.path
        assert value_at(found.sourced.run, path) != field.default, field.path
        assert found.sourced.source(path) == "command line"


def test_a_switch_may_be_switched_off() -> None:
    assert split(["--no-pictures.flip", "--no-network.rank", "3"]) == (
        [("pictures.flip", "false"), ("no-network.rank", "3")],
        [],
    )


TYPED = [
    ("optimizer.arguments.d0", "1e-5", "optimizer.arguments", {"d0": 1e-5}),
    ("optimizer.arguments.betas", "[0.9, 0.99]", "optimizer.arguments", {"betas": (0.9, 0.99)}),
    ("optimizer.arguments", '{"betas": [0.9, 0.99], "x": "a b"}', "optimizer.arguments", None),
    ("concepts.0.override.pictures.alpha", "drop", "concepts.0.override", {"pictures.alpha": "drop"}),
    ("concepts.0.override", '{"pictures.alpha": "drop"}', "concepts.0.override", {"pictures.alpha": "drop"}),
    ("previews.prompts", "a cat, sitting", "previews.prompts", ("a cat, sitting",)),
    ("previews.prompts", '["a cat, sitting", "b"]', "previews.prompts", ("a cat, sitting", "b")),
    ("previews.prompts", "a cat, sitting\nb", "previews.prompts", ("a cat, sitting", "b")),
    ("previews.prompts", "[a cat:0.5], sitting", "previews.prompts", ("[a cat:0.5], sitting",)),
    ("captions.files", ".txt, .caption", "captions.files", (".txt", ".caption")),
]


@pytest.mark.parametrize(("path", "text", "where", "expected"), TYPED)
def test_tables_and_texts_with_commas_can_be_typed(path: str, text: str, where: str, expected: Any) -> None:
    found = settings.review_typed([("concepts.0.folder", "x"), (path, text)])
    assert found.problems == ()
    value = value_at(found.sourced.run, where)
    assert value == ({"betas": (0.9, 0.99), "x": "a b"} if expected is None else expected)


def test_names_of_a_table_add_up_and_wrong_ones_are_told() -> None:
    pairs = [("optimizer.arguments.d0", "1"), ("optimizer.arguments.d1", "nan"), ("rates.power.x", "1")]
    found = settings.review_typed([*pairs, ("concepts.3.override.pictures.alpha", "drop")])
    assert [problem.where for problem in found.problems] == [
        "optimizer.arguments",
        "rates.power.x",
        "concepts.3",
    ]
    assert value_at(found.sourced.run, "optimizer.arguments") == {"d0": 1}


def test_a_switch_may_stand_alone() -> None:
    assert split(["--pictures.flip", "--pictures.buckets", "off", "a.toml"]) == (
        [("pictures.flip", "true"), ("pictures.buckets", "off")],
        ["a.toml"],
    )


def test_negative_numbers_are_values() -> None:
    assert split(["--noise.offset_adaptive", "-0.1"]) == ([("noise.offset_adaptive", "-0.1")], [])


def test_other_arguments_are_left_alone() -> None:
    words = ["--out", "a.b", "--weight=1.5", "--file=./a.toml", "x.y", "--", "--rates.learning_rate", "1"]
    assert split(words) == ([], words)


def test_an_unknown_path_is_answered_by_the_settings() -> None:
    pairs, _ = split(["--rates.learning_rat", "1"])
    (problem,) = settings.review_typed(pairs).problems
    assert problem.todo == "Did you mean rates.learning_rate?"


@pytest.mark.parametrize(
    "words", [["--set"], ["--set", "a.b"], ["--rates.power"], ["--rates.power", "--json"]]
)
def test_half_a_setting_is_refused(words: list[str]) -> None:
    with pytest.raises(UserError):
        split(words)
