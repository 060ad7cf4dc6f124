"""Paths as people paste them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.sources.pasted import clean_path


@pytest.mark.parametrize(
    "pasted",
    ['"{}"', "'{}'", " {} \t", "“{}”", "\u202a{}", "{}\u200b", "\"'{}'\"", "file://{}", '"file://{}"',
     "「{}」", "FILE://{}", "file://localhost{}"],
)  # fmt: skip
def test_what_surrounds_a_path_is_taken_off(tmp_path: Path, pasted: str) -> None:
    folder = tmp_path / "40_a b"
    folder.mkdir()
    assert clean_path(pasted.format(folder)) == folder


def test_an_address_is_decoded(tmp_path: Path) -> None:
    folder = tmp_path / "犬 100%"
    folder.mkdir()
    assert clean_path(folder.as_uri()) == folder


@pytest.mark.skipif(os.name == "nt", reason="a backslash is part of Windows paths")
def test_a_shells_escapes_are_undone_where_that_exists(tmp_path: Path) -> None:
    (tmp_path / "a (b) c").mkdir()
    assert clean_path(f"{tmp_path}/a\\ \\(b\\)\\ c") == tmp_path / "a (b) c"
    (tmp_path / "a\\ b").mkdir()
    assert clean_path(f"{tmp_path}/a\\ b") == tmp_path / "a\\ b"


def test_variables_count_where_they_lead_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PICTURES", str(tmp_path))
    assert clean_path("$MY_PICTURES") == tmp_path
    (tmp_path / "$MY_PICTURES").mkdir()
    assert clean_path(f"{tmp_path}/$MY_PICTURES") == tmp_path / "$MY_PICTURES"


def test_a_tilde_is_the_users_folder_or_a_name() -> None:
    assert clean_path("~") == Path.home()
    assert clean_path("~0") == Path("~0")


@pytest.mark.parametrize("pasted", ["", "  ", '""', "\u202a", "a\nb", "a\0b"])
def test_what_is_no_path_gets_a_sentence(pasted: str) -> None:
    with pytest.raises(UserError) as caught:
        clean_path(pasted, "concepts.0.folder")
    assert caught.value.where == "concepts.0.folder" and caught.value.todo


@given(st.text(max_size=300))
def test_any_text_gives_a_path_or_a_sentence(text: str) -> None:
    try:
        assert isinstance(clean_path(text), Path)
    except UserError as error:
        assert error.todo
