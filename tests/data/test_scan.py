"""From concepts to items."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_dreambooth import settings
from lib_dreambooth.base.errors import Cancelled, FileError, UserError
from lib_dreambooth.data.item import Item
from lib_dreambooth.data.scanning import facts as facts_module
from lib_dreambooth.data.scanning import items as items_module
from lib_dreambooth.data.scanning import scan as scan_module
from lib_dreambooth.data.scanning.index import load_index, save_index
from lib_dreambooth.data.scanning.scan import Scan, scan
from lib_dreambooth.settings.schema import Captions, ClassPictures, Concept, Pictures, Run
from tests.data.drawn_files import png_bytes, save, save_gradient, save_plain


def made_run(*concepts: Concept, **sections: Any) -> Run:
    return Run(concepts=concepts, **sections)


def of(folder: Path, **more: Any) -> Concept:
    return Concept(folder=str(folder), **more)


def names(items: tuple[Item, ...]) -> list[str]:
    return [Path(item.path).name for item in items]


def codes(result: Scan) -> list[str]:
    return [finding.code for finding in result.findings]


def test_a_plain_folder(tmp_path: Path) -> None:
    save_gradient(tmp_path / "a.png", 64, 48)
    save_plain(tmp_path / "b.jpg", (1, 2, 3))
    (tmp_path / "a.txt").write_text("a cat", encoding="utf-8")
    result = scan(made_run(of(tmp_path, repeats=3)))
    first, second = result.items
    assert (Path(first.path).name, first.size, first.repeats, first.concept) == ("a.png", (64, 48), 3, 0)
    assert (first.caption.text, first.caption.origin) == ("a cat", "txt")
    assert second.caption.origin == "none" and not second.is_class
    assert len(first.content) == 32 and first.content != second.content
    assert result.findings == () and result.validation == ()


def test_kohyas_folders_multiply_repeats_and_name_what_has_no_caption(tmp_path: Path) -> None:
    save_plain(tmp_path / "36_riho" / "a.png", (1, 1, 1))
    save_plain(tmp_path / "4_kk dancer" / "b.png", (2, 2, 2))
    (tmp_path / "36_riho" / "a.txt").write_text("riho, smile", encoding="utf-8")
    result = scan(made_run(of(tmp_path, repeats=2)))
    assert [(i.repeats, i.caption.text, i.caption.origin) for i in result.items] == [
        (72, "riho, smile", "txt"),
        (8, "kk dancer", "folder"),
    ]


def test_the_concepts_own_words_come_before_the_folders_name(tmp_path: Path) -> None:
    for number, name in enumerate(("10_riho/a.png", "10_riho/b.png", "loose.png", "class/c.png")):
        save_plain(tmp_path / name, (number, 1, 1))
    (tmp_path / "10_riho" / "a.txt").write_text("riho, smile", encoding="utf-8")
    (tmp_path / "10_riho" / "b.txt").write_text("", encoding="utf-8")
    save_plain(tmp_path / "10_riho" / "d.png", (9, 9, 9))
    concept = of(tmp_path, fallback=" a girl ", class_folder=str(tmp_path / "class"))
    result = scan(made_run(concept, class_pictures=ClassPictures(relation="mixed")))
    assert {(Path(i.path).name, i.caption.text, i.caption.origin) for i in result.items} == {
        ("a.png", "riho, smile", "txt"),
        ("b.png", "", "txt"),
        ("d.png", "a girl", "setting"),
        ("loose.png", "a girl", "setting"),
        ("c.png", "", "none"),
    }


def test_class_pictures_and_roles(tmp_path: Path) -> None:
    for folder in ("train", "own", "shared", "measure"):
        save_plain(tmp_path / folder / f"{folder}.png", (len(folder), 0, 9))
    run = made_run(
        of(tmp_path / "train", class_folder=str(tmp_path / "own"), repeats=5),
        of(tmp_path / "shared", role="class"),
        of(tmp_path / "measure", role="validation"),
        class_pictures=ClassPictures(relation="mixed"),
    )
    result = scan(run)
    assert [
        (n, i.is_class, i.concept, i.repeats) for n, i in zip(names(result.items), result.items, strict=True)
    ] == [
        ("train.png", False, 0, 5),
        ("own.png", True, 0, 1),
        ("shared.png", True, 1, 1),
    ]
    assert names(result.validation) == ["measure.png"]


def test_class_pictures_are_not_even_read_when_off(tmp_path: Path) -> None:
    save_plain(tmp_path / "train" / "a.png", (0, 0, 9))
    run = made_run(of(tmp_path / "train", class_folder=str(tmp_path / "nothing")))
    assert names(scan(run).items) == ["a.png"]


def test_copies_have_ids_of_their_own_and_one_content(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save_plain(tmp_path / name, (7, 7, 7))
    items = scan(made_run(of(tmp_path))).items
    content = items[0].content
    assert [i.id for i in items] == [content, f"{content}-2", f"{content}-3"]
    assert {i.content for i in items} == {content}


def test_renaming_a_file_keeps_its_id(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.png", (7, 7, 7))
    before = scan(made_run(of(tmp_path))).items[0].id
    (tmp_path / "a.png").rename(tmp_path / "犬.png")
    assert scan(made_run(of(tmp_path))).items[0].id == before


def test_exif_rotation_counts_in_the_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save_gradient(tmp_path / "a.jpg", 64, 48, exif=exif.tobytes())
    assert scan(made_run(of(tmp_path))).items[0].size == (48, 64)
    ignoring = made_run(of(tmp_path), pictures=Pictures(exif_rotation=False))
    assert scan(ignoring).items[0].size == (64, 48)


def test_masks_beside_in_a_folder_and_by_alpha(tmp_path: Path) -> None:
    save_plain(tmp_path / "p" / "a.png", (1, 0, 0))
    save_plain(tmp_path / "p" / "a-mask.png", (255, 255, 255))
    save_plain(tmp_path / "p" / "b.png", (2, 0, 0))
    save_plain(tmp_path / "m" / "b.png", (0, 0, 0))
    save(tmp_path / "p" / "c.png", Image.new("RGBA", (64, 64), (1, 2, 3, 4)))
    concept = of(tmp_path / "p", mask_folder=str(tmp_path / "m"))
    items = scan(made_run(concept)).items
    assert [(i.mask_kind, Path(i.mask_path).parent.name) for i in items] == [
        ("file", "p"), ("file", "m"), ("none", ""),
    ]  # fmt: skip
    assert items[0].mask_content and items[0].mask_content != items[1].mask_content
    assert items[2].has_alpha
    by_alpha = made_run(concept, pictures=Pictures(alpha="both"))
    assert [i.mask_kind for i in scan(by_alpha).items] == ["file", "file", "alpha"]
    without = scan(made_run(concept, pictures=Pictures(masks=False))).items
    assert names(without) == ["a.png", "b.png", "c.png"]
    assert {i.mask_kind for i in without} == {"none"}


def test_a_mask_of_another_shape_is_reported_and_a_broken_one_keeps_its_picture_out(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.png", (1, 0, 0), (64, 64))
    save_plain(tmp_path / "a-mask.png", (1, 0, 0), (64, 32))
    save_plain(tmp_path / "b.png", (2, 0, 0))
    (tmp_path / "b-mask.png").write_bytes(b"nothing")
    result = scan(made_run(of(tmp_path)))
    assert names(result.items) == ["a.png"]
    assert sorted(codes(result)) == ["mask-shape", "mask-unreadable"]


def test_metadata_names_the_pictures(tmp_path: Path) -> None:
    save_plain(tmp_path / "p" / "a.png", (1, 0, 0))
    save_plain(tmp_path / "p" / "b.png", (2, 0, 0))
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps({"a": {"caption": "from the file"}}), encoding="utf-8")
    (tmp_path / "p" / "a.txt").write_text("not this", encoding="utf-8")
    result = scan(made_run(of(tmp_path / "p", metadata_file=str(meta))))
    assert [(i.caption.text, i.caption.origin) for i in result.items] == [("from the file", "metadata")]
    assert codes(result) == ["pictures-not-in-metadata"]


def test_metadata_that_names_other_pictures_is_said(tmp_path: Path) -> None:
    save_plain(tmp_path / "p" / "a.png", (1, 0, 0))
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps({"z": {"caption": "another"}}), encoding="utf-8")
    with pytest.raises(UserError, match="names no picture that lies in this folder"):
        scan(made_run(of(tmp_path / "p", metadata_file=str(meta))))


def test_bad_pictures_are_reported_by_file_and_left_out(tmp_path: Path) -> None:
    save_plain(tmp_path / "good.png", (1, 0, 0))
    whole = save_gradient(tmp_path / "cut.jpg", 200, 200).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("hello", encoding="utf-8")
    (tmp_path / "empty.webp").write_bytes(b"")
    Image.new("RGB", (8, 8)).save(tmp_path / "really.png", format="BMP")
    result = scan(made_run(of(tmp_path)))
    assert names(result.items) == ["good.png", "really.png"]
    bad = {Path(f.paths[0]).name: f for f in result.findings if f.code == "picture-unreadable"}
    assert set(bad) == {"cut.jpg", "text.png", "empty.webp"}
    assert all(f.todo and f.effect for f in bad.values())
    assert "picture-mislabelled" in codes(result)


def test_bombs_are_left_out_and_huge_photos_read_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bytes(60_000, 60_000, 8, 2, bytes(1000)))
    save_plain(tmp_path / "good.png", (1, 0, 0), (20, 20))
    result = scan(made_run(of(tmp_path)))
    assert names(result.items) == ["good.png"]
    assert "60000x60000" in result.findings[0].what
    (tmp_path / "bomb.png").unlink()
    save_plain(tmp_path / "huge.jpg", (1, 0, 0), (60, 60))
    save_plain(tmp_path / "huge.png", (1, 0, 0), (60, 60))
    for module in (facts_module, scan_module):
        monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    result = scan(made_run(of(tmp_path)))
    assert names(result.items) == ["good.png", "huge.jpg"]
    assert [(f.code, Path(f.paths[0]).name) for f in result.findings] == [
        ("picture-unreadable", "huge.png"), ("picture-read-reduced", "huge.jpg"),
    ]  # fmt: skip


def test_nothing_of_the_users_is_changed(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    save_plain(folder / "a.png", (1, 0, 0))
    (folder / "b.png").write_bytes(b"broken")
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    scan(made_run(of(folder)), tmp_path / "index.json")
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before


def test_an_empty_folder_and_no_concept_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    save_plain(tmp_path / "sub" / "a.png", (1, 1, 1))
    with pytest.raises(UserError, match='sub-folders are not read while Sub-folders is "Ignore"'):
        scan(made_run(of(tmp_path, subfolders="ignore")))
    with pytest.raises(UserError, match="no concept with training pictures"):
        scan(made_run())
    with pytest.raises(FileError, match="there is no such folder"):
        scan(made_run(of(tmp_path / "nothing")))
    with pytest.raises(UserError, match="no folder is given"):
        scan(made_run(Concept()))


def test_an_unchanged_folder_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(5):
        save_plain(tmp_path / "p" / f"{k}.png", (k, 0, 0))
    (tmp_path / "p" / "bad.png").write_bytes(b"bad")
    index = tmp_path / "cache" / "scan.json"
    first = scan(made_run(of(tmp_path / "p")), index)
    opened: list[str] = []
    true_read = scan_module.read_facts

    def counting(path: str, size: int, mtime_ns: int) -> Any:
        opened.append(Path(path).name)
        return true_read(path, size, mtime_ns)

    monkeypatch.setattr(scan_module, "read_facts", counting)
    assert scan(made_run(of(tmp_path / "p")), index) == first
    assert opened == []
    save_plain(tmp_path / "p" / "3.png", (3, 3, 3))
    os.utime(tmp_path / "p" / "3.png", ns=(1, 1))
    (tmp_path / "p" / "2.txt").write_text("a new caption", encoding="utf-8")
    second = scan(made_run(of(tmp_path / "p")), index)
    assert opened == ["3.png"]
    assert second.items[3].id != first.items[3].id
    assert second.items[2].caption.text == "a new caption"


def test_unchanged_captions_are_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, index = tmp_path / "3_riho", tmp_path / "scan.json"
    for k in range(3):
        save_plain(folder / f"{k}.png", (k, 0, 0))
    (folder / "0.txt").write_text("zero", encoding="utf-8")
    (folder / "1.json").write_text("5", encoding="utf-8")
    run = made_run(of(folder))
    first = scan(run, index)
    assert codes(first) == ["caption-json"]
    true_read = items_module.read_captions
    times: list[int] = []

    def counting(paths: Any, *rest: Any) -> Any:
        times.append(len(paths))
        return true_read(paths, *rest)

    monkeypatch.setattr(items_module, "read_captions", counting)
    assert scan(run, index) == first and times == []
    assert (
        scan(made_run(of(folder), captions=Captions(file_name=True)), index).items[2].caption.origin
        == "folder"
    )
    assert times == [3]
    os.utime(folder / "0.txt", ns=(1, 1))
    scan(run, index)
    (folder / "2.caption").write_text("two", encoding="utf-8")
    assert scan(run, index).items[2].caption.text == "two"
    (folder / "2.caption").unlink()
    assert scan(run, index).items[2].caption == first.items[2].caption
    assert times == [3, 3, 3, 3]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 2}', '{"version": 2, "files": {"a": [1]}}', "\x00", '{"version": 0}',
     '{"version": 2, "files": {"a": [1,2,3,4,5,6,7,8,9]}, "captions": {}}',
     '{"version": 2, "files": {}, "captions": {"a": ["k", {"b": [1, 2, 3]}, []]}}'],
)  # fmt: skip
def test_a_damaged_index_is_made_anew(tmp_path: Path, text: str) -> None:
    save_plain(tmp_path / "p" / "a.png", (1, 0, 0))
    index = tmp_path / "scan.json"
    index.write_text(text, encoding="utf-8")
    assert len(scan(made_run(of(tmp_path / "p")), index).items) == 1
    assert len(load_index(index).facts) == 1


def test_the_index_comes_back_as_it_was(tmp_path: Path) -> None:
    save_gradient(tmp_path / "p" / "a\udcff.png" if os.name != "nt" else tmp_path / "p" / "a.png", 5, 7)
    scan(made_run(of(tmp_path / "p")), tmp_path / "one.json")
    found = load_index(tmp_path / "one.json")
    save_index(tmp_path / "two.json", found)
    assert load_index(tmp_path / "two.json") == found and len(found.facts) == len(found.captions) == 1


def test_a_picture_deleted_meanwhile_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(3):
        save_plain(tmp_path / f"{k}.png", (k, 0, 0))
    true_read = scan_module.read_facts

    def deleting(path: str, size: int, mtime_ns: int) -> Any:
        if path.endswith("1.png"):
            Path(path).unlink()
        return true_read(path, size, mtime_ns)

    monkeypatch.setattr(scan_module, "read_facts", deleting)
    result = scan(made_run(of(tmp_path)))
    assert names(result.items) == ["0.png", "2.png"] and codes(result) == ["picture-gone"]


def test_progress_is_told_and_a_stop_is_obeyed(tmp_path: Path) -> None:
    for k in range(3):
        save_plain(tmp_path / f"{k}.png", (k, 0, 0))
    told: list[tuple[int, int]] = []
    scan(made_run(of(tmp_path)), progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (3, 3)]

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        scan(made_run(of(tmp_path)), check_cancelled=stop)


def test_a_concept_may_differ(tmp_path: Path) -> None:
    save_plain(tmp_path / "1girl smile.png", (1, 0, 0))
    run = made_run(of(tmp_path, override={"captions.file_name": True}), captions=Captions())
    assert scan(run).items[0].caption.text == "1girl smile" or scan(run).items[0].caption.origin == "name"


def test_one_folder_in_two_concepts_is_remarked(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.png", (1, 0, 0))
    result = scan(made_run(of(tmp_path), of(tmp_path)))
    assert codes(result) == ["folder-twice"] and len(result.items) == 2
    assert result.items[0].id != result.items[1].id


def test_a_quoted_folder_and_a_face_in_the_name(tmp_path: Path) -> None:
    save_plain(tmp_path / "p" / "a_30_30_20_20.png", (1, 0, 0))
    item = scan(made_run(Concept(folder=f'"{tmp_path / "p"}"'))).items[0]
    assert item.face == (20, 20, 40, 40)


def test_items_of_ten_thousand_pictures_are_small() -> None:
    import tracemalloc

    from tests.data.made_items import made_item

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [made_item(k) for k in range(1000)]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(kept) == 1000 and grown / 1000 < 1000


def test_a_zip_stands_in_for_a_folder(tmp_path: Path) -> None:
    picture = save_plain(tmp_path / "a.png", (1, 0, 0))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as zipped:
        zipped.write(picture, "5_riho/a.png")
        zipped.writestr("5_riho/a.txt", "riho")
    run = made_run(of(tmp_path / "set.zip"))
    item = scan(run, unpack_into=tmp_path / "model").items[0]
    assert (item.repeats, item.caption.text) == (5, "riho") and str(tmp_path / "model") in item.path
    with pytest.raises(FileError, match="is a file, not a folder"):
        scan(run)


def test_a_250_character_name(tmp_path: Path) -> None:
    name = "x" * 246 + ".png"
    source = save_plain(tmp_path / "a.png", (1, 0, 0))
    (tmp_path / "p").mkdir()
    shutil.copy(source, tmp_path / "p" / name)
    assert names(scan(made_run(of(tmp_path / "p"))).items) == [name]


def test_a_folder_whose_pictures_are_all_broken_says_so(tmp_path: Path) -> None:
    for number, size in enumerate((10, 20, 60)):
        (tmp_path / f"{number}.bmp").write_bytes((b"BM" + bytes(58))[:size])
    with pytest.raises(UserError) as caught:
        scan(settings.read({"concepts": [{"folder": str(tmp_path)}]}).run)
    assert "none of the 3 pictures" in caught.value.what
    assert "`0.bmp` the picture is cut short" in caught.value.what


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_reported_and_never_waited_for(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.png", (1, 2, 3))
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "a.txt")
    found = scan(made_run(Concept(folder=str(tmp_path))))
    assert [Path(item.path).name for item in found.items] == ["a.png"]
    told = {Path(path).name for finding in found.findings for path in finding.paths}
    assert told == {"b.png", "a.txt"}
