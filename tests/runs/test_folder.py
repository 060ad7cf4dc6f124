"""A model folder: made in a moment, found again, and sure of its base."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.runs import base_file
from lib_dreambooth.runs.base_file import hash_of
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.names import checked_name


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "モデル v1.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def folder(tmp_path: Path, base: Path) -> ModelFolder:
    return ModelFolder.create(tmp_path / "dreambooth", "ねこ 猫 cat", base, "sd1")


def test_creating_records_the_base_and_copies_nothing(folder: ModelFolder, base: Path) -> None:
    assert [path.name for path in folder.path.iterdir()] == ["model.toml"]
    card = folder.card()
    assert (card.name, card.family) == ("ねこ 猫 cat", "sd1")
    assert (card.base.path, card.base.size_bytes, card.base.sha256) == (str(base), 7, "")
    assert card.created.endswith("Z") and len(card.created) == 20


def test_creating_with_a_hash_reads_nothing(tmp_path: Path, base: Path) -> None:
    folder = ModelFolder.create(tmp_path / "m", "a", base, "sdxl", sha256="ab" * 32)
    assert folder.checked_base().sha256 == "ab" * 32


@pytest.mark.parametrize(
    "name",
    ["", "  ", "con", "CON.txt", "Nul ", "com1", "LPT¹", "aux.", "a.", ".a", "a/b", "a\\b", "a:b", "a?", "..",
     "a\nb", "a\u202eb", "x" * 81, "猫" * 70, "a\x00b"],
)  # fmt: skip
def test_names_that_some_system_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        checked_name(name)
    assert caught.value.code == "bad-name" and caught.value.todo


@pytest.mark.parametrize(
    ("name", "kept"),
    [("ねこ", "ねこ"), (" a b ", "a b"), ("v1.5 cat", "v1.5 cat"), ("か\u3099く", "がく"),
     ("console", "console"), ("com10", "com10"), ("猫-01_b", "猫-01_b")],
)  # fmt: skip
def test_names_of_any_language_are_kept(name: str, kept: str) -> None:
    assert checked_name(name) == kept


def test_a_second_model_of_one_name_is_refused(folder: ModelFolder, base: Path) -> None:
    with pytest.raises(UserError) as caught:
        ModelFolder.create(folder.path.parent, "ねこ 猫 cat", base, "sd1")
    assert caught.value.code == "name-taken"
    assert folder.card().family == "sd1"


def test_an_empty_folder_of_that_name_becomes_the_model(tmp_path: Path, base: Path) -> None:
    (tmp_path / "m" / "a").mkdir(parents=True)
    assert ModelFolder.create(tmp_path / "m", "a", base, "sd2").card().family == "sd2"


def test_a_missing_base_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        ModelFolder.create(tmp_path / "m", "a", tmp_path / "no.safetensors", "sd1")
    assert caught.value.code == "base-missing"
    assert not (tmp_path / "m" / "a").exists()


def test_a_model_opens_by_name_and_by_folder(folder: ModelFolder) -> None:
    root = folder.path.parent
    assert ModelFolder.open("ねこ 猫 cat", root) == folder
    assert ModelFolder.open(folder.path) == folder
    assert ModelFolder.all_below(root) == [folder]
    assert ModelFolder.all_below(root / "none") == []


@pytest.mark.parametrize("name", ["none", "", ".", "..", "../dreambooth", "a:b"])
def test_what_is_no_model_does_not_open(folder: ModelFolder, name: str) -> None:
    with pytest.raises(FileError) as caught:
        ModelFolder.open(name, folder.path.parent)
    assert caught.value.code == "no-such-model"


def test_a_damaged_card_gets_a_sentence(folder: ModelFolder) -> None:
    (folder.path / "model.toml").write_text("name = 'x'\n", encoding="utf-8")
    with pytest.raises(FileError) as caught:
        folder.card()
    assert caught.value.code == "bad-model-file"


def test_the_base_is_read_whole_once(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = folder.checked_base()
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert folder.card().base == found
    monkeypatch.setattr("lib_dreambooth.runs.base_file.hash_of", lambda path: 1 / 0)
    assert folder.checked_base() == found


def test_a_touched_base_is_the_same_base(folder: ModelFolder, base: Path) -> None:
    before = folder.checked_base()
    os.utime(base, ns=(1, 1))
    after = folder.checked_base()
    assert after.sha256 == before.sha256
    assert folder.card().base.modified_ns == 1


def test_a_replaced_base_is_refused(folder: ModelFolder, base: Path) -> None:
    folder.checked_base()
    base.write_bytes(b"WEIGHTS")
    os.utime(base, ns=(1, 1))
    with pytest.raises(FileError) as caught:
        folder.checked_base()
    assert caught.value.code == "base-replaced"


def test_another_size_is_refused_even_before_a_hash_is_known(folder: ModelFolder, base: Path) -> None:
    base.write_bytes(b"longer weights")
    with pytest.raises(FileError) as caught:
        folder.checked_base()
    assert caught.value.code == "base-replaced"


def test_a_base_that_nobody_read_yet_is_at_hand_without_waiting(
    folder: ModelFolder, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("lib_dreambooth.runs.folder.sha256_ahead", asked.append)
    assert folder.base_at_hand().sha256 == ""
    assert asked == [base]
    # From the first whole look on the card knows, and another file is seen at once.
    assert folder.checked_base() == folder.base_at_hand() == folder.card().base
    assert asked == [base]
    base.write_bytes(b"WEIGHTS")
    os.utime(base, ns=(1, 1))
    with pytest.raises(FileError):
        folder.base_at_hand()


def test_a_base_that_was_changed_before_anybody_read_it_is_not_at_hand(
    folder: ModelFolder, base: Path
) -> None:
    base.write_bytes(b"longer weights")
    with pytest.raises(FileError) as caught:
        folder.base_at_hand()
    assert caught.value.code == "base-replaced"


def test_a_folder_of_parts_is_a_base_too(tmp_path: Path) -> None:
    parts = tmp_path / "diffusers"
    (parts / "unet").mkdir(parents=True)
    (parts / "unet" / "model.safetensors").write_bytes(b"12345")
    folder = ModelFolder.create(tmp_path / "m", "a", parts, "sd1")
    assert folder.checked_base().size_bytes == 5
    assert folder.card().base.sha256 == hash_of(parts)
    (parts / "unet" / "model.safetensors").write_bytes(b"54321")
    os.utime(parts / "unet" / "model.safetensors", ns=(1, 1))
    with pytest.raises(FileError):
        folder.checked_base()


def test_each_run_leaves_a_copy_of_its_settings(folder: ModelFolder) -> None:
    first, second = folder.keep_settings("a = 1\n"), folder.keep_settings("a = 2\n")
    assert first.name.startswith("0001-") and second.name.startswith("0002-")
    assert first.read_text("utf-8") == "a = 1\n"
    assert folder.settings_path.read_text("utf-8") == "a = 2\n"


def test_paths_in_events_are_relative(folder: ModelFolder, tmp_path: Path) -> None:
    assert folder.inside(folder.samples_dir / "猫.png") == "samples/猫.png"
    assert folder.inside(tmp_path / "elsewhere.png") == str(tmp_path / "elsewhere.png")


def test_creating_makes_no_hash_of_a_large_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = tmp_path / "large.safetensors"
    with large.open("wb") as file:
        file.truncate(7_000_000_000)

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr(base_file, "hash_of", refuse)
    made = ModelFolder.create(tmp_path / "m", "a", large, "sdxl")
    assert made.card().base.sha256 == ""
