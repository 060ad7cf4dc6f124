from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lib_dreambooth import settings
from lib_dreambooth.base.errors import FileError, SettingsError, UserError
from lib_dreambooth.settings.convert import read_text, shown
from lib_dreambooth.settings.fields import all_fields, entries
from lib_dreambooth.settings.files import read_file, review_text, updated_text, write_file
from lib_dreambooth.settings.renames import Rename, translated
from lib_dreambooth.settings.writing import text_of
from tests.settings.strategies import sourced_runs

pytestmark = pytest.mark.once

EVERY_KIND = {
    "model.base": "C:\\models\\base.safetensors",
    "concepts.0.folder": "pics",
    "concepts.0.repeats": 3,
    "concepts.0.override": {"captions.keep_tokens": 2, "captions.token_warmup": "10 %"},
    "concepts.1.folder": "絵",
    "pictures.resolution": "512x768",
    "pictures.flip": True,
    "pictures.alpha": "drop",
    "pictures.background": "#102030",
    "captions.files": [".txt", ".cap"],
    "network.rank": 8,
    "network.layer_ranks": {"unet.mid*": 4},
    "network.block_ranks": [4] * 25,
    "parts.unet.layer_rates": {"up*": 0.5},
    "parts.text_encoder_1.stop": "75 %",
    "words.0.name": "neko",
    "optimizer.arguments": {"betas": [0.9, 0.99], "eps": 1e-6, "amsgrad": True, "mode": "x"},
    "rates.learning_rate": 3e-5,
    "draws.seed": 7,
    "length.train_for": "1500 steps",
    "saving.during": ["result", "state"],
    "saving.state_every": "5 min",
    "validation.timesteps": [100, 900],
}
SOME = settings.update(settings.defaults(), EVERY_KIND, "form")
FULL = text_of(SOME)
TEXT = text_of(SOME, only_changed=True)
LINES = TEXT.splitlines()
QUICK = hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = st.sampled_from(
    ["=", "[", "]", "[[", '"', "'", "\n", ".", ",", "{", "}", "#", "true", "nan", "inf", "1e999", "-1", "0",
     "2020-01-01", "99999999999999999999", '"until stopped"', "\\u0000", "\\ud800", "\x7f", "é", "猫", " ",
     "version = 99", "[rates]"]
)  # fmt: skip


def reread(text: str) -> settings.Sourced:
    return review_text(text).sourced


def round_trip(sourced: settings.Sourced) -> None:
    """Run to TOML to Run, with sources, and every value to the text shown and back."""
    back = reread(text_of(sourced, only_changed=True))
    assert back.run == sourced.run
    assert told(back) == told(sourced)
    for path, field, value in entries(sourced.run):
        if field.kind in ("switch", "whole", "number", "duration", "size"):
            assert read_text(field, shown(value)) == value, path


@QUICK
@given(sourced_runs())
def test_run_to_toml_to_run(sourced: settings.Sourced) -> None:
    round_trip(sourced)


@hypothesis_settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(sourced_runs())
def test_run_to_a_file_that_is_there_to_run(sourced: settings.Sourced) -> None:
    back = reread(text_of(sourced))
    assert back.run == sourced.run and told(back) == told(sourced)
    edited = reread(updated_text(TEXT, sourced))
    assert edited.run == sourced.run and told(edited) == told(sourced)


@pytest.mark.slow
@hypothesis_settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(sourced_runs())
def test_run_to_toml_to_run_thousands_of_times(sourced: settings.Sourced) -> None:
    round_trip(sourced)


def told(sourced: settings.Sourced) -> dict[str, str]:
    """Sources of values that differ from their default; a default that was set may read back as a default."""
    return {
        path: sourced.source(path) for path, field, value in entries(sourced.run) if value != field.default
    }


def spoiled(cuts: list[tuple[int, int, str]]) -> str:
    """The valid file with parts replaced."""
    text = TEXT
    for start, length, piece in cuts:
        at = start % (len(text) + 1)
        text = text[:at] + piece + text[at + length :]
    return text


def one_sentence_or_a_run(text: str) -> None:
    """Reading ends in a run or in sentences that name file or field; anything else is raised."""
    try:
        found = review_text(text, "mine.toml")
    except FileError as error:
        assert error.where == "mine.toml" and error.what.endswith(".") and error.todo
        return
    names = [field.key for field in all_fields()]
    for problem in found.problems:
        assert problem.where and problem.what and problem.todo, problem
        assert problem.code != "contradiction" or problem.where.rsplit(".", 1)[-1] in names
    if not found.problems:
        assert reread(text_of(found.sourced, only_changed=True)).run == found.sourced.run


MUTATIONS = st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12), PIECES), min_size=1, max_size=3)
VALUE_LINES = [number for number, line in enumerate(LINES) if " = " in line and not line.startswith("#")]
ODD_VALUES = st.sampled_from(
    ["nan", "-inf", "1e999", "-1", "10000000000000000000000", '""', '"x"', "true", "[]", "[[]]", "{}",
     "1979-05-27", "'\\'", "[1, 'a']", '"5 bananas"', "0", "1", "0.5", "1.5", '"500 steps"', '"10 %"',
     '"auto"', "{a = {b = 1}}", '"#123456"']
)  # fmt: skip


def changed_line(change: tuple[int, str]) -> str:
    number, value = change
    name = LINES[number].split(" = ")[0]
    return "\n".join([*LINES[:number], f"{name} = {value}", *LINES[number + 1 :]])


@QUICK
@given(MUTATIONS)
def test_a_spoiled_file_gets_a_sentence(cuts: list[tuple[int, int, str]]) -> None:
    one_sentence_or_a_run(spoiled(cuts))


def names_its_field(change: tuple[int, str]) -> None:
    """A refused value is told at its own field."""
    name = LINES[change[0]].split(" = ")[0]
    try:
        found = review_text(changed_line(change), "mine.toml")
    except FileError as error:
        assert error.where == "mine.toml" and error.todo
        return
    for problem in found.problems:
        assert problem.what and problem.todo
        keys = problem.where.split(".")
        assert name in keys or problem.code in ("contradiction", "newer-version", "bad-version"), problem


@QUICK
@given(st.tuples(st.sampled_from(VALUE_LINES), ODD_VALUES))
def test_an_odd_value_gets_a_sentence_naming_its_field(change: tuple[int, str]) -> None:
    names_its_field(change)
    one_sentence_or_a_run(changed_line(change))


@pytest.mark.slow
@hypothesis_settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(MUTATIONS)
def test_five_thousand_spoiled_files(cuts: list[tuple[int, int, str]]) -> None:
    with contextlib.suppress(FileError):
        for problem in review_text(spoiled(cuts), "mine.toml").problems:
            assert problem.where and problem.what and problem.todo


@pytest.mark.slow
@hypothesis_settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.tuples(st.sampled_from(VALUE_LINES), ODD_VALUES))
def test_five_thousand_odd_values(change: tuple[int, str]) -> None:
    names_its_field(change)


@QUICK
@given(st.text(max_size=200))
def test_any_text_gets_a_sentence(text: str) -> None:
    one_sentence_or_a_run(text)


def test_a_wrong_value_in_a_file_names_its_field() -> None:
    text = FULL.replace("learning_rate = 3e-5", 'learning_rate = "fast"')
    (problem,) = review_text(text).problems
    assert problem.sentence() == 'rates.learning_rate: "fast" is not a number. Allowed: a number, 0 to 10.'


def test_every_field_stands_in_a_written_file_with_its_label() -> None:
    for field in all_fields():
        assert f"\n{field.key} = " in FULL
        assert f"# {field.option.label}: "[:60] in FULL


MINE = """\
# my best settings
version = 1

[rates] # slow
  learning_rate = 1e-4   # never above 2e-4
schedule = 'Cosine'

[[concepts]]
# the cat
folder = 'cat'
repeats = 3
[[concepts]]
folder = "dog"  # the dog
"""


def test_comments_and_spelling_of_the_user_stay(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    sourced = read_file(path)
    write_file(path, sourced)
    assert path.read_text("utf-8") == MINE
    write_file(path, settings.update(sourced, {"rates.learning_rate": 5e-5, "network.rank": 4}, "form"))
    text = path.read_text("utf-8")
    assert text.startswith(MINE.replace("1e-4  ", "5e-5  "))
    assert "[network]\nrank = 4\n" in text
    one = settings.update(sourced, {"concepts": [{"folder": "cat"}]}, "form")
    write_file(path, one)
    text = path.read_text("utf-8")
    assert "# the cat" in text and "repeats = 1" in text and "dog" not in text
    assert read_file(path).run == one.run


def test_sources_are_kept_while_the_value_is(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    made = settings.update(
        settings.defaults(), {"rates.learning_rate": 5e-5, "network.rank": 4}, "preset Person"
    )
    write_file(path, made)
    assert dict(read_file(path).sources) == {
        "rates.learning_rate": "preset Person",
        "network.rank": "preset Person",
    }
    path.write_text(path.read_text("utf-8").replace("rank = 4", "rank = 6"), encoding="utf-8")
    assert dict(read_file(path).sources) == {
        "rates.learning_rate": "preset Person",
        "network.rank": "file a.toml",
    }


def test_a_broken_file_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("this = is = no TOML", encoding="utf-8")
    write_file(path, settings.defaults())
    assert read_file(path).run == settings.Run()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a = ", "not-toml"),
        (b"\xff\xfe\x00a", "not-text"),
        (b"x" * (4 * 1024 * 1024 + 1), "too-large"),
        (None, "bad-file"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_file(path)
    assert caught.value.code == code and caught.value.todo


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfversion = 1\n[rates]\nlearning_rate = 2e-5\n")
    assert read_file(path).run.rates.learning_rate == 2e-5


def test_versions() -> None:
    with pytest.raises(SettingsError) as caught:
        review_text("version = 99").accepted()
    assert caught.value.problems[0].code == "newer-version"
    for odd in ("0", "true", '"1"', "1.5"):
        with pytest.raises(SettingsError):
            review_text(f"version = {odd}").accepted()


OLD: dict[str, Any] = {
    "rates": {"lr": 1},
    "concepts": [{"dir": "a"}, {"dir": "b", "folder": "c"}],
    "net": {"dim": 3},
}


def test_old_names_stay_readable() -> None:
    renames = (
        Rename(1, "rates.lr", "rates.learning_rate"),
        Rename(2, "concepts.*.dir", "concepts.*.folder"),
        Rename(1, "net.dim", "network.rank", lambda value: value * 2),
    )
    assert translated({"version": 1, **OLD}, renames, current=3) == {
        "rates": {"learning_rate": 1},
        "concepts": [{"folder": "a"}, {"folder": "c"}],
        "net": {},
        "network": {"rank": 6},
    }
    assert translated({"version": 2, "rates": {"lr": 1}}, renames, current=3) == {"rates": {"lr": 1}}
    with pytest.raises(UserError):
        translated({"version": 4}, renames, current=3)
