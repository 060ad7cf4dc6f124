"""The command `captions`: nothing is written unasked, what is written can be taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.data.tags import places, planning
from tests.cli.said import data, text
from tests.data.drawn_files import save_plain

CAPTIONS = {
    "1.txt": b"riho, 1girl, long_hair, smile\r\n",
    "2.txt": "赤い, riho, Long hair, hat, hat".encode("cp932"),
    "3.caption": "riho, red hat, hat".encode("utf-16"),
    "4.json": b'{"tags": ["riho", "hat"]}',
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    inside = tmp_path / "my set" / "10_riho"
    for name, raw in CAPTIONS.items():
        save_plain(inside / f"{name[0]}.png", (int(name[0]), 1, 1))
        (inside / name).write_bytes(raw)
    save_plain(inside / "5.png", (5, 1, 1))
    return inside.parent


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def texts(found: Any) -> list[str]:
    return [row["after"] for row in found["files"]]


def test_find_text_tags_and_patterns(folder: Path) -> None:
    found = data("captions", "find", str(folder), "HAT")
    assert [(Path(row["path"]).name, row["count"]) for row in found["found"]] == [
        ("2.txt", 2),
        ("3.caption", 2),
    ]
    found = data("captions", "find", str(folder), "long hair", "--tag")
    assert [Path(row["path"]).name for row in found["found"]] == ["1.txt", "2.txt"]
    answer, _ = text("captions", "find", str(folder), r"\d+girl", "--pattern")
    assert answer.splitlines() == [
        f"{Path('10_riho') / '1.txt'}: riho, 1girl, long_hair, smile",
        "1 of 3 captions hold it, 1 times in all.",
    ]


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (["replace", "DIR", "hat", "cap"], ["赤い, riho, Long hair, cap, cap", "riho, red cap, cap"]),
        (["replace", "DIR", "hat", "cap", "--tag"], ["赤い, riho, Long hair, cap", "riho, red hat, cap"]),
        (["replace", "DIR", r"(\d)girl", r"\1 girl", "--pattern"], ["riho, 1 girl, long_hair, smile\r\n"]),
        (
            ["add", "DIR", "riho, smile"],
            ["smile, 赤い, riho, Long hair, hat, hat", "smile, riho, red hat, hat"],
        ),
        (
            ["add", "DIR", "x", "--back", "--create"],
            [
                "riho, 1girl, long_hair, smile, x\r\n",
                "赤い, riho, Long hair, hat, hat, x",
                "riho, red hat, hat, x",
                "x",
            ],
        ),
        (["remove", "DIR", "long hair", "1girl"], ["riho, smile\r\n", "赤い, riho, hat, hat"]),
        (["remove", "DIR", ".* hat", "--pattern"], ["riho, hat"]),
        (
            ["reorder", "DIR", "--front", "riho", "--rest", "by-count"],
            ["riho, long_hair, 1girl, smile\r\n", "riho, hat, hat, Long hair, 赤い", "riho, hat, red hat"],
        ),
    ],
)
def test_a_plan_is_shown_then_made_then_taken_back(words: list[str], after: list[str], folder: Path) -> None:
    before = state(folder)
    call = ["captions", *[word.replace("DIR", str(folder)) for word in words]]
    planned = data(*call)
    assert texts(planned) == after and planned["is_applied"] is False
    answer, remarks = text(*call)
    assert answer.splitlines()[-1].endswith("Nothing is written yet: --apply writes.")
    assert "4.json: The caption was left as it is: JSON captions are not edited." in remarks
    assert state(folder) == before and not (folder.parent / "home").exists()
    answer, _ = text(*call, "--apply")
    assert answer.splitlines()[-1] == (
        f"{len(after)} of {planned['captions']} captions were changed. "
        f'`captions undo "{folder}"` takes it back.'
    )
    assert state(folder) != before
    assert data(*call)["files"] == [] or words[0] == "replace"
    done = data("captions", "undo", str(folder))
    assert len(done["restored"]) == len(after) and state(folder) == before


def test_encodings_and_line_ends_stay(folder: Path) -> None:
    text("captions", "add", str(folder), "cap", "--back", "--apply")
    found = state(folder / "10_riho")
    assert found["1.txt"] == b"riho, 1girl, long_hair, smile, cap\r\n"
    assert found["2.txt"] == "赤い, riho, Long hair, hat, hat, cap".encode("cp932")
    assert found["3.caption"].decode("utf-16") == "riho, red hat, hat, cap"


def test_history_undo_by_number_and_redo(folder: Path) -> None:
    before = state(folder)
    text("captions", "add", str(folder), "a", "--apply")
    text("captions", "remove", str(folder), "riho", "--apply")
    answer, _ = text("captions", "history", str(folder))
    assert [line.split()[:2] for line in answer.splitlines()[:2]] == [["2", "3"], ["1", "3"]]
    _, remarks = text("captions", "undo", str(folder), "1")
    assert "was edited since and is left as it is" in remarks
    text("captions", "undo", str(folder))
    text("captions", "undo", str(folder))
    assert state(folder) == before
    assert "nothing to undo" in text("captions", "undo", str(folder), code=2)[1]
    text("captions", "undo", str(folder), "--redo")
    assert state(folder)["10_riho/1.txt"] == b"a, riho, 1girl, long_hair, smile\r\n"
    assert [edit["is_undone"] for edit in data("captions", "history", str(folder))["edits"]] == [True, False]


def test_the_journal_can_be_named(folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    words = ("captions", "add", str(folder), "a", "--apply", "--journal", str(journal))
    assert f'`captions undo "{folder}" --journal "{journal}"`' in text(*words)[0]
    assert [path.name for path in journal.iterdir()] == ["000001.edit.jsonl"]
    assert not (tmp_path / "home").exists()


def test_every_folder_has_a_journal_of_its_own(folder: Path) -> None:
    first, second = places.default_journal(folder), places.default_journal(folder / "10_riho")
    assert first != second and first.name.startswith("my_set-")
    assert first == places.default_journal(folder / "10_riho" / "..")
    assert not first.is_relative_to(folder)


def test_pruning_says_why_and_takes_what_is_recommended(folder: Path) -> None:
    for number in range(1, 4):
        (folder / "10_riho" / f"{number}.txt").write_text("riho, 1girl, masterpiece, hat", encoding="utf-8")
    (folder / "10_riho" / "3.caption").unlink()
    answer, _ = text("captions", "prune", str(folder), "--trigger", "riho")
    assert answer.startswith("10_riho   (* would be taken out)\n")
    assert "masterpiece  3 of 3  It is meant for prompts." in answer
    found = data("captions", "prune", str(folder), "--only", "masterpiece", "--apply")
    assert {row["tag"]: row["is_chosen"] for row in found["proposals"]} == {
        "1girl": False,
        "masterpiece": True,
    }
    assert texts(found) == ["riho, 1girl, hat"] * 3
    assert len(data("captions", "undo", str(folder))["restored"]) == 3


def test_a_file_changed_meanwhile_is_left_and_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = folder / "10_riho" / "1.txt"
    real = planning.apply_plan

    def meddling(plan: Any, journal: Any) -> Any:
        victim.write_bytes(b"mine")
        return real(plan, journal)

    monkeypatch.setattr("lib_dreambooth.cli.caption_edits.apply_plan", meddling)
    answer, remarks = text("captions", "add", str(folder), "a", "--apply", code=1)
    assert victim.read_bytes() == b"mine" and answer.splitlines()[-1].startswith(
        "2 of 4 captions were changed."
    )
    assert "was changed by another program in the meantime" in remarks


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_cannot_steer_the_terminal(folder: Path) -> None:
    save_plain(folder / "10_riho" / "\x1b[2J\u202egnp.png", (9, 9, 9))
    (folder / "10_riho" / "\x1b[2J\u202egnp.txt").write_text("riho\x1b[31m", encoding="utf-8")
    answer, remarks = text("captions", "add", str(folder), "a\x1b[0m", "--all")
    assert "\x1b" not in answer + remarks and "\u202e" not in answer + remarks
    assert "\\u001b[2J\\u202egnp.txt" in answer


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["replace", "DIR", "(", "x", "--pattern"], "no valid pattern"),
        (["replace", "DIR", "(a)", r"\2", "--pattern"], "the replacement cannot be used"),
        (["find", "DIR/none", "x"], "no such folder"),
        (["find", "DIR/10_riho/1.txt", "x"], "is a file, not a folder"),
        (["find", "DIR/empty", "x"], "no pictures in this folder"),
        (["reorder", "DIR", "--keep", "-1"], "is less than nothing"),
        (["undo", "DIR"], "nothing to undo"),
        ([], "required: ACTION"),
    ],
)
def test_bad_input_is_a_sentence(words: list[str], part: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    before = state(folder)
    _, remarks = text("captions", *[word.replace("DIR", str(folder)) for word in words], code=2)
    assert part in remarks
    assert state(folder) == before
