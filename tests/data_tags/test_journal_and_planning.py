"""Edits over files and the way back: bytes, encodings, crashes, and people who edit in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.tags import journal as journal_module
from lib_dreambooth.data.tags.edits import AddTags, RemoveTags
from lib_dreambooth.data.tags.journal import Change, Journal
from lib_dreambooth.data.tags.planning import apply_plan, caption_files, plan_edit


@pytest.fixture
def captions(tmp_path: Path) -> dict[str, bytes]:
    """Captions in every kind of file, by path."""
    folder = tmp_path / "set"
    folder.mkdir()
    contents = {
        "plain.txt": b"1girl, solo\r\n",
        "bom.txt": b"\xef\xbb\xbf1girl, solo",
        "wide.txt": "1girl, solo, 猫".encode("utf-16"),
        "japanese.txt": "solo, 少女, 長い髪".encode("cp932"),
        "untouched.txt": "café".encode(),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {str(folder / name): data for name, data in contents.items()}


def content(paths: dict[str, bytes]) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in paths if Path(path).exists()}


def test_an_edit_keeps_encoding_mark_and_line_ends_and_undo_restores_bytes(
    captions: dict[str, bytes], tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    plan = plan_edit(list(captions), RemoveTags(("solo",)), "Remove solo")
    assert [Path(p.path).name for p in plan.planned] == ["plain.txt", "bom.txt", "wide.txt", "japanese.txt"]
    assert content(captions) == captions, "looking changes nothing"
    assert apply_plan(plan, journal) == {}
    assert list(content(captions).values()) == [
        b"1girl\r\n",
        b"\xef\xbb\xbf1girl",
        "1girl, 猫".encode("utf-16"),
        "少女, 長い髪".encode("cp932"),
        "café".encode(),
    ]
    entry, result = journal.undo()
    assert (entry.action, len(result.restored), result.is_complete) == ("Remove solo", 4, True)
    assert content(captions) == captions
    journal.redo()
    assert Path(next(iter(captions))).read_bytes() == b"1girl\r\n"


def test_a_character_that_the_encoding_lacks_is_announced(captions: dict[str, bytes]) -> None:
    path = next(p for p in captions if p.endswith("japanese.txt"))
    (planned,) = plan_edit([path], AddTags(("🎀",)), "Add").planned
    assert planned.turns_utf8
    assert planned.change.after == "🎀, solo, 少女, 長い髪".encode()


def test_undo_goes_back_step_by_step(captions: dict[str, bytes], tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    path = next(iter(captions))
    for tag in ("a", "b"):
        apply_plan(plan_edit([path], AddTags((tag,)), f"Add {tag}"), journal)
    assert [entry.action for entry in journal.entries()] == ["Add b", "Add a"]
    assert journal.undo()[0].action == "Add b"
    assert journal.undo()[0].action == "Add a"
    with pytest.raises(UserError, match="nothing to undo"):
        journal.undo()
    assert journal.redo()[0].action == "Add a"
    assert Path(path).read_bytes() == b"a, 1girl, solo\r\n"
    assert journal.forget(keep=1) == 1
    assert [entry.action for entry in journal.entries()] == ["Add b"]


def test_files_edited_since_are_left_alone_and_named(captions: dict[str, bytes], tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    apply_plan(plan_edit(list(captions), RemoveTags(("solo",)), "Remove"), journal)
    edited = next(iter(captions))
    Path(edited).write_bytes(b"by hand")
    _, result = journal.undo()
    assert (result.edited_since, len(result.restored), result.is_complete) == ([edited], 3, False)
    assert Path(edited).read_bytes() == b"by hand"
    assert journal.entries()[0].is_undone is False, "it can be tried again"


def test_a_file_changed_between_looking_and_writing_is_left_alone(
    captions: dict[str, bytes], tmp_path: Path
) -> None:
    plan = plan_edit(list(captions), RemoveTags(("solo",)), "Remove")
    changed, deleted = list(captions)[:2]
    Path(changed).write_bytes(b"by hand")
    Path(deleted).unlink()
    failed = apply_plan(plan, Journal(tmp_path / "journal"))
    assert {path: error.code for path, error in failed.items()} == dict.fromkeys(
        (changed, deleted), "changed-meanwhile"
    )
    assert Path(changed).read_bytes() == b"by hand"
    assert not Path(deleted).exists()


def test_new_captions_are_made_and_undo_removes_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    assert caption_files([picture]) == []
    paths = caption_files([picture], create=True)
    assert apply_plan(plan_edit(paths, AddTags(("sks",)), "Add"), journal) == {}
    assert (tmp_path / "a.txt").read_bytes() == b"sks"
    journal.undo()
    assert not (tmp_path / "a.txt").exists()


def test_what_cannot_be_read_for_certain_is_not_written(tmp_path: Path) -> None:
    contents = {"a.txt": b"1girl\x81", "b.json": b'{"caption": "x"}', "c.txt": b"fine"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "d.txt").mkdir()
    plan = plan_edit([str(tmp_path / n) for n in (*contents, "d.txt")], AddTags(("x",)), "Add")
    assert [Path(p.path).name for p in plan.planned] == ["c.txt"]
    assert sorted(Path(f.paths[0]).name for f in plan.findings) == ["a.txt", "b.json", "d.txt"]


def test_an_operation_that_was_cut_off_can_be_undone(
    captions: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal")
    plan = plan_edit(list(captions), RemoveTags(("solo",)), "Remove")
    put, done = journal_module.put, []

    def dies_at_third(path: str, data: bytes | None) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(path)
        put(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "put", dies_at_third)
        with pytest.raises(KeyboardInterrupt):
            apply_plan(plan, journal)
    assert content(captions) != captions
    _, result = journal.undo()
    assert (len(result.restored), len(result.unchanged)) == (2, 2)
    assert content(captions) == captions


def test_a_torn_journal_line_belongs_to_a_file_that_was_not_touched(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    file = tmp_path / "a.txt"
    file.write_bytes(b"x")
    operation = journal.begin("Edit")
    operation.change([Change(str(file), b"x", b"y")])
    with operation.path.open("ab") as stream:
        stream.write(json.dumps({"path": str(tmp_path / "b.txt")}).encode()[:-5])
    (entry,) = journal.entries()
    assert [change.path for change in entry.changes] == [str(file)]
    journal.undo()
    assert file.read_bytes() == b"x"


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"[]\n", b'{"format": 1}\n'])
def test_a_damaged_entry_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "000001.edit.jsonl").write_bytes(damage)
    (tmp_path / "notes.txt").write_bytes(b"")
    journal = Journal(tmp_path)
    assert journal.entries() == []
    assert journal.begin("x").path.name == "000002.edit.jsonl"


def test_hostile_names_survive(tmp_path: Path) -> None:
    file = tmp_path / ("猫🎀 & <b>" + "x" * 200 + ".txt")
    file.write_bytes(b"a")
    journal = Journal(tmp_path / "journal")
    apply_plan(plan_edit([str(file)], AddTags(("b",)), "Add <b>"), journal)
    assert file.read_bytes() == b"b, a"
    journal.undo()
    assert file.read_bytes() == b"a"


def test_a_journal_that_cannot_be_written_leaves_the_files(
    captions: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "journal").write_bytes(b"a file where the folder should be")
    plan = plan_edit(list(captions), RemoveTags(("solo",)), "Remove")
    with pytest.raises(FileError):
        apply_plan(plan, Journal(tmp_path / "journal"))
    assert content(captions) == captions
