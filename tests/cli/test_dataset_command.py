"""The command `dataset` on small drawn folders."""

from __future__ import annotations

import os
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.data.health import examining
from tests.cli.said import data, text
from tests.data_health.drawn import letterboxed, texture

SMALL = ("--pictures.resolution", "128", "--pictures.bucket_step", "32")
SIZES = [(160, 160)] * 6 + [(128, 224)] * 3


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kohya's folders: nine pictures of riho 10 times, two of a dancer 4 times, a broken one."""
    top = tmp_path_factory.mktemp("drawn") / "set"
    riho, dancer = top / "10_riho", top / "4_dancer"
    riho.mkdir(parents=True)
    dancer.mkdir()
    for number, size in enumerate(SIZES):
        texture(number, size).save(riho / f"{number}.png")
        if number:
            (riho / f"{number}.txt").write_text(f"riho, hat, tag{number}", encoding="utf-8")
    (riho / "8.txt").write_text("riho, " + "word, " * 300, encoding="utf-8")
    for number in (20, 21):
        letterboxed(texture(number, (160, 160))).save(dancer / f"踊り😀{number}.png")
    whole = (riho / "1.png").read_bytes()
    (riho / "broken.png").write_bytes(whole[: len(whole) // 2])
    return top


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "set"))


def inside(name: str) -> str:
    """A picture as the command calls it."""
    return str(Path("10_riho") / name)


def state(folder: Path) -> dict[str, Any]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def test_a_person_reads_what_is_there_and_what_is_wrong(drawn: Path) -> None:
    before = state(drawn)
    answer, _ = text("dataset", str(drawn), *SMALL)
    assert state(drawn) == before
    flat = " ".join(answer.split())
    assert "Pictures 11 to train on, 1 cannot be read" in flat
    assert (
        "11 pictures with their repeats = 98 visits, in 2 buckets of 30 and 68; batch 1 gives 30 + 68 = 98 "
        "batches; 98 steps an epoch; 10 epochs = 980 steps" in flat
    )
    assert "Captions 8 written, 3 from the folder's name; the longest is 603 tokens of 225" in flat
    assert "Triggers riho 9" in flat
    lines = answer.splitlines()
    place = lines.index("ERROR    The picture is cut short: its end is missing.")
    assert lines[place + 1].strip() == inside("broken.png")
    assert "Effect: It is left out." in lines[place + 2] and "To do:" in lines[place + 3]
    assert "bars or a frame" in flat and "longer than the token limit" in flat
    assert lines[-1].startswith("1 error, ") and lines[-1].endswith(" Nothing was changed.")


def test_captions_are_those_of_the_first_visits(drawn: Path) -> None:
    answer, _ = text(
        "dataset", str(drawn), *SMALL, "--captions", "--captions.shuffle", "--captions.keep_tokens", "1"
    )
    lines = answer.splitlines()
    name = inside("1.png")
    place = lines.index(f"{name}  <- {inside('1.txt')}")
    assert sorted(lines[place + 1 : place + 3]) == ["     7  riho, hat, tag1", "     7  riho, tag1, hat"]
    assert f"{inside('0.png')}  <- the folder 10_riho" in lines
    assert "[cut off: word" in answer and "others differ in order or parts" in answer


def test_one_caption_is_said_once_with_tokens(drawn: Path) -> None:
    found = data("dataset", str(drawn), *SMALL, "--token", "riho", "--class-token", "girl")
    shown = {Path(one["path"]).name: one for one in found["captions"]}
    assert shown["1.png"]["captions"] == [{"text": "riho girl, hat, tag1", "tokens": 8, "lost": ""}]
    assert shown["1.png"]["is_complete"] is True
    assert shown["踊り😀20.png"]["captions"][0]["text"] == "riho girl, dancer"
    assert found["total_steps"] == 980


def test_buckets_name_what_is_cut_off(drawn: Path) -> None:
    answer, _ = text("dataset", str(drawn), *SMALL, "--buckets")
    rows = [line.split() for line in answer.splitlines()]
    assert ["picture", "size", "bucket", "scale", "cut", "off"] in rows
    assert [inside("0.png"), "160x160", "128x128", "0.80", "nothing"] in rows
    wide = next(row for row in rows if row and row[0] == inside("7.png"))
    assert wide[1:3] == ["128x224", "96x160"] and wide[4].endswith("%")
    cuts = data("dataset", str(drawn), *SMALL)["cuts"]
    assert {(b["width"], b["height"]): b["visits"] for b in cuts["buckets"]} == {
        (96, 160): 30,
        (128, 128): 68,
    }


def test_the_page_shows_every_picture_and_takes_names_as_text(folder: Path, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>.png" if os.name != "nt" else "&amp;.png"
    (folder / "10_riho" / "0.png").rename(folder / "10_riho" / hostile)
    (folder / "10_riho" / "1.png").rename(folder / "10_riho" / "\u202egnp.png")
    page = tmp_path / "page.html"
    answer, _ = text("dataset", str(folder), *SMALL, "--html", str(page))
    assert answer.splitlines()[-1] == f"{page}: written"
    assert "\u202e" not in answer
    whole = page.read_text(encoding="utf-8")
    seen = Elements(whole)
    assert seen.sources and all(source.startswith("data:image/") for source in seen.sources)
    assert "onerror" not in seen.attributes and "script" not in seen.tags and "\u202e" not in whole
    assert data("dataset", str(folder), *SMALL, "--html", str(page))["page"] == str(page)


class Elements(HTMLParser):
    """The tags, attributes and picture sources of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name == "src"]


def test_settings_bring_concepts_and_class_pictures(drawn: Path, tmp_path: Path) -> None:
    classes = tmp_path / "girls"
    classes.mkdir()
    for number in range(3):
        texture(30 + number, (160, 160)).save(classes / f"{number}.png")
    file = tmp_path / "mine.toml"
    file.write_text(
        f"[[concepts]]\nfolder = '{drawn}'\nsubfolders = 'plain'\nrepeats = 2\n"
        f"class_folder = '{classes}'\nfallback = 'a dancer'\n"
        "[class_pictures]\nrelation = 'beside'\n[length]\nbatch_size = 4\ntrain_for = '3 epochs'\n",
        encoding="utf-8",
    )
    found = data("dataset", "--settings", str(file), *SMALL, "--length.batch_size", "2")
    assert (found["pictures"], found["class_pictures"]) == (11, 3)
    assert found["arithmetic"] == (
        "11 pictures x 2 repeats = 22 visits, each with a class picture beside it, in 2 buckets of 6 and 16; "
        "batch 2 gives 3 + 8 = 11 batches; 11 steps an epoch; 3 epochs = 33 steps"
    )
    origins = {Path(one["path"]).name: one["source"] for one in found["captions"]}
    assert origins["踊り😀20.png"] == "setting"
    answer, _ = text("dataset", "--settings", str(file), *SMALL, "--captions")
    assert "<- the settings" in answer and "class picture  <- no caption" in answer


def test_the_size_follows_from_the_family(drawn: Path) -> None:
    assert data("dataset", str(drawn))["resolution"] == [512, 512]
    assert data("dataset", str(drawn), "--model.family", "sdxl")["resolution"] == [1024, 1024]
    assert "add --model.family sdxl" in " ".join(text("dataset", str(drawn))[0].split())
    assert "add --model.family sdxl" not in text("dataset", str(drawn), *SMALL)[0]


def test_a_zip_is_looked_at_without_leaving_anything(drawn: Path, tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(drawn.rglob("*.*")):
            zipped.write(path, path.relative_to(drawn))
    found = data("dataset", str(archive), *SMALL)
    assert (found["pictures"], found["visits"]) == (11, 98)
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "neither a folder nor settings"),
        (["DIR", "--settings", "x.toml"], "both a folder and settings"),
        (["DIR/none"], "no such folder"),
        (["DIR/10_riho/1.txt"], "is a file, not a folder"),
        (["DIR/empty"], "there are no pictures in this folder"),
        (["DIR", "--html", "DIR/10_riho/1.png"], "is not the name of a page"),
        (["DIR", "--html", "DIR/none/page.html"], "cannot be written there"),
        (["DIR", "--pictures.resolution", "many"], "pictures.resolution"),
        (["--settings", "DIR/none.toml"], "could not be read"),
        (["DIR\nDIR"], "is not one path"),
    ],
)
def test_bad_input_is_a_sentence(words: list[str], part: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    before = state(folder)
    _, remarks = text("dataset", *[word.replace("DIR", str(folder)) for word in words], code=2)
    assert part in remarks and "Traceback" not in remarks
    assert state(folder) == before


def test_a_stop_while_looking(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(examining, "look_at", stopped)
    _, remarks = text("dataset", str(folder), *SMALL, code=130)
    assert remarks.splitlines()[-1] == "Cancelled."
