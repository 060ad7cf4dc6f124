"""From a folder on the disk to the report, through scan and dataset."""

from __future__ import annotations

from pathlib import Path

from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.health.examining import examine, look, related_pairs
from lib_dreambooth.data.health.page import page
from lib_dreambooth.data.scanning.scan import scan
from lib_dreambooth.settings.schema import Captions, Concept, Draws, Pictures, Run
from lib_dreambooth.settings.values import Size
from tests.data_health.drawn import letterboxed, person, texture


def words(text: str) -> int:
    return len(text.replace(",", " , ").split())


def made_run(folder: Path) -> Run:
    folder = folder / "4_riho"
    folder.mkdir()
    drawn = {f"p{i}": person(i) for i in range(5)} | {
        "copy": person(1).resize((200, 200)),
        "bars": letterboxed(texture(1)),
    }
    for name, image in drawn.items():
        image.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"riho, {name}, smile", encoding="utf-8")
    (folder / "broken.png").write_bytes((folder / "p0.png").read_bytes()[:500])
    return Run(
        concepts=(Concept(folder=str(folder)),),
        pictures=Pictures(resolution=Size(256, 256)),
        captions=Captions(shuffle=True, keep_tokens=1),
        draws=Draws(seed=3),
    )


def test_a_folder_becomes_a_report(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    scanned = scan(run)
    dataset = Dataset(run, scanned)
    looking = look(dataset, with_thumbnails=True)
    result = examine(dataset, looking, scanned.findings, words)
    named = {(f.code, tuple(sorted(Path(path).name for path in f.paths))) for f in result.findings}
    assert named == {
        ("picture-unreadable", ("broken.png",)),
        ("too-small", ("copy.png",)),
        ("near-duplicate", ("copy.png", "p1.png")),
        ("flat-border", ("bars.png",)),
        ("always-present-tags", ()),
    }
    assert (result.pictures, result.visits) == (7, 28)
    assert [(t.triggers, t.visits) for t in result.triggers] == [(("riho",), 28)]
    by_name = {Path(one.path).name: one for one in result.captions}
    assert [c.text for c in by_name["p0.png"].captions] == ["riho, p0, smile", "riho, smile, p0"]
    assert by_name["p0.png"].is_complete
    assert page(result).count("data:image/jpeg") >= 7
    ids = {item.id: Path(item.path).name for item in dataset.items}
    assert [{ids[a], ids[b]} for a, b in related_pairs(dataset.items, looking)] == [{"copy.png", "p1.png"}]
