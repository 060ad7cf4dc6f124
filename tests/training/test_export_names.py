"""File names: new every time, legal everywhere, short enough, and unambiguous in a prompt."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.training.export.names import (
    LONGEST_NAME_BYTES,
    LONGEST_PATH,
    Taken,
    clean_name,
    counter_text,
    new_run_folder,
    shortened,
    stems,
)

DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)


@given(st.text(st.characters(codec=None), max_size=300))
@example("C:\\Users\\ann")
@example("con.backup")
@example("  .. ")
@example("\ud800")
@example("名前:テスト")
def test_a_clean_name_is_legal_on_windows_and_in_a_prompt(text: str) -> None:
    name = clean_name(text)
    assert name and name == name.strip(" .")
    assert not set(name) & set('<>:"/\\|?*,') and all(ord(letter) >= 32 for letter in name)
    assert not DEVICES.fullmatch(name) and name.lower() != "none"
    assert clean_name(name) == name
    name.encode("utf-8")


def test_ordinary_names_stay() -> None:
    for name in ("mika", "ミカ v1.2", "my dog (2)", "naïve", "__"):
        assert clean_name(name) == (name if name != "__" else "model")
    assert clean_name("a/b: c") == "a_b_ c"
    assert clean_name("NUL") == "_NUL" and clean_name("None") == "_None"


@pytest.mark.parametrize(
    ("counter", "text"), [("steps", "001500"), ("epochs", "e0012"), ("both", "e0012-001500")]
)
def test_the_counter_says_steps_epochs_or_both(counter: str, text: str) -> None:
    assert counter_text(counter, 1500, 12) == text


def test_a_name_that_is_there_gets_a_number(tmp_path: Path) -> None:
    found = stems(tmp_path, "mika", "000100")
    assert list(itertools.islice(found, 3)) == ["mika-000100", "mika-000100-2", "mika-000100-3"]


@given(st.text(min_size=1, max_size=400), st.integers(min_value=0, max_value=180))
def test_paths_stay_below_the_limit(name: str, depth: int) -> None:
    folder = Path("/" + "d" * depth)
    stem = next(itertools.islice(stems(folder, name, "e0001-000100"), 998, None))
    path = folder / f"{stem}.preview.png"
    assert len(str(path).encode("utf-16-le")) // 2 <= LONGEST_PATH
    assert len(path.name.encode()) <= LONGEST_NAME_BYTES
    assert stem.endswith("-e0001-000100-999") and clean_name(stem) == stem


def test_a_folder_without_room_is_said() -> None:
    with pytest.raises(FileError, match="too long") as caught:
        shortened("mika", Path("/" + "d" * 240), 12)
    assert caught.value.code == "path-too-long"


def test_names_count_in_sub_folders_and_whatever_their_case(tmp_path: Path) -> None:
    """Hosts know a LoRA by its stem alone."""
    (tmp_path / "chars" / "old").mkdir(parents=True)
    (tmp_path / "chars" / "old" / "Mika-000100.safetensors").touch()
    (tmp_path / "mika-000200.yaml").touch()
    (tmp_path / "notes.txt").touch()
    run = tmp_path / "run"
    run.mkdir()
    (run / "mika-000300").mkdir()
    (run / "mika-000400.json").touch()
    taken = Taken(tmp_path, run)
    assert taken("mika-000100") and taken("MIKA-000100") and taken("mika-000400")
    assert not taken("mika-000200") and not taken("mika-000300") and not taken("mika-0004")


def test_a_checkpoint_is_not_called_like_the_start_of_a_vae(tmp_path: Path) -> None:
    """With the VAE on Automatic hosts load every VAE whose name begins with the checkpoint's."""
    (tmp_path / "mika-000100-good.vae.safetensors").touch()
    taken = Taken(tmp_path, tmp_path / "run")
    assert taken("mika-000100") and not taken("mika-000200")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    try:
        (inner / "up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        # Windows asks for a right that few users have; then there is no circle either.
        (inner / "up").mkdir()
    (inner / "a.safetensors").touch()
    assert Taken(tmp_path, tmp_path)("a")


def test_each_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    assert new_run_folder(tmp_path, "mika").name == "mika"
    (tmp_path / "mika").mkdir()
    assert new_run_folder(tmp_path, "mika").name == "mika", "an empty folder is nobody's"
    (tmp_path / "mika" / "mika-000100.safetensors").touch()
    assert new_run_folder(tmp_path, "mika").name == "mika-2"
