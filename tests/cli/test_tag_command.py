"""The command `tag` with a small graph made here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.said import data, text
from tests.data.drawn_files import save, save_plain
from tests.data_tags.onnx_bytes import tagger_model
from tests.data_tags.test_wd14 import BIAS, TAGS, WEIGHTS

needs_onnxruntime = pytest.mark.needs("onnxruntime")
ONE_CORE = ("--threads", "1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "tags.csv").write_text(TAGS, encoding="utf-8")
    (tmp_path / "model.onnx").write_bytes(tagger_model(WEIGHTS, BIAS))
    pictures = tmp_path / "pictures"
    save_plain(pictures / "red.png", (255, 0, 0))
    save_plain(pictures / "blue.png", (0, 0, 255))
    save_plain(pictures / "mine.png", (0, 255, 0))
    (pictures / "mine.txt").write_text("by hand", encoding="utf-8")
    return pictures


def words(folder: Path, *more: str) -> tuple[str, ...]:
    top = folder.parent
    return ("tag", str(folder), "--model", str(top / "model.onnx"), "--tags", str(top / "tags.csv"), *more)


def captions(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))}


@needs_onnxruntime
def test_missing_captions_are_written_and_taken_back(folder: Path) -> None:
    answer, _ = text(*words(folder, *ONE_CORE, "--front", "riho", "--exclude", "^_^"))
    assert captions(folder) == {
        "blue.txt": "riho, blue background",
        "mine.txt": "by hand",
        "red.txt": "riho, red background",
    }
    lines = answer.splitlines()
    assert lines[0] == "2 captions to write; 1 stay as they are."
    assert sorted(lines[1:3]) == ["blue.txt: riho, blue background", "red.txt: riho, red background"]
    assert lines[3] == f'2 captions were written. `captions undo "{folder}"` takes it back.'
    text("captions", "undo", str(folder))
    assert captions(folder) == {"mine.txt": "by hand"}


@needs_onnxruntime
def test_what_a_person_wrote_needs_a_yes(folder: Path) -> None:
    _, remarks = text(*words(folder, "--existing", "replace", *ONE_CORE), code=2)
    assert "1 captions that a person wrote would be changed. Add --yes" in remarks
    assert captions(folder) == {"mine.txt": "by hand"}
    found = data(*words(folder, "--existing", "merge", "--yes", "--threshold", "0.6", *ONE_CORE))
    assert found["hand_made"] == 1 and len(found["written"]) == 3
    assert captions(folder)["mine.txt"] == "by hand, green background"


@needs_onnxruntime
def test_refresh_knows_its_own_captions(folder: Path) -> None:
    text(*words(folder, "--threshold", "0.6", *ONE_CORE))
    (folder / "red.txt").write_text("corrected", encoding="utf-8")
    text(*words(folder, "--existing", "refresh", "--underscores", "--threshold", "0.6", *ONE_CORE))
    assert captions(folder) == {"blue.txt": "blue_background", "mine.txt": "by hand", "red.txt": "corrected"}


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    answer, _ = text(*words(folder, "--dry-run"))
    assert answer == "2 captions to write; 1 stay as they are.\nNothing is written.\n"
    assert captions(folder) == {"mine.txt": "by hand"} and not (folder.parent / "home").exists()


@needs_onnxruntime
def test_a_broken_picture_is_named_and_the_others_go_on(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    save(folder / "clear.png", Image.new("RGBA", (40, 20), (255, 0, 0, 0)))
    _, remarks = text(*words(folder, *ONE_CORE))
    assert "bad.png: Not tagged:" in remarks
    assert set(captions(folder)) == {"blue.txt", "clear.txt", "mine.txt", "red.txt"}
    # Transparent is white for a tagger, whatever lies under it.
    assert "green background" in captions(folder)["clear.txt"]


def test_without_onnxruntime_there_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install onnxruntime" in text(*words(folder), code=2)[1]
    assert data(*words(folder), code=2)["error"]["code"] == "missing-package"
    assert captions(folder) == {"mine.txt": "by hand"}


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (("--model", "none.onnx"), "no such model file"),
        (("--threshold", "1.5"), "--threshold"),
        (("--batch", "0"), "is too small"),
        (("--existing", "burn"), "invalid choice"),
    ],
)
def test_bad_arguments_are_sentences(more: tuple[str, ...], part: str, folder: Path) -> None:
    assert part in text(*words(folder, *more), code=2)[1]


def test_a_tag_list_is_looked_for_beside_the_model(folder: Path) -> None:
    model = folder.parent / "model.onnx"
    assert "no list of tags" in text("tag", str(folder), "--model", str(model), code=2)[1]
    (folder.parent / "tags.csv").rename(folder.parent / "selected_tags.csv")
    text("tag", str(folder), "--model", str(model), "--dry-run")
