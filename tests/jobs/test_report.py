"""The report of a run: from the folder alone, whatever became of the run, and fit to be shown around."""

from __future__ import annotations

import csv
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.jobs.report.document import Gallery, Table
from lib_dreambooth.jobs.report.gathering import document_of
from lib_dreambooth.jobs.report.story import story_of
from lib_dreambooth.jobs.report.writing import write_report
from lib_dreambooth.runs.events import Sampled, Started, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import read_events
from tests.jobs.made_runs import FACTS, HOME, USER, MadeRun, a_folder, sourced, whole_run

HOSTILE = "<img src=x onerror=alert(1)>\"'&|`[a](http://b.c)\u202e\n# x"


def blocks(folder: ModelFolder, title: str, lineage: str = "") -> list[object]:
    """What stands under a heading."""
    document = document_of(story_of(folder, lineage))
    return [block for section in document.sections if section.title == title for block in section.blocks]


def rows(folder: ModelFolder, title: str, lineage: str = "") -> list[tuple[str, ...]]:
    """The rows of all tables under a heading."""
    tables = [block for block in blocks(folder, title, lineage) if isinstance(block, Table)]
    return [row for table in tables for row in table.rows]


def lead(folder: ModelFolder, lineage: str = "") -> str:
    return document_of(story_of(folder, lineage)).lead


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_whole_run_in_its_own_words(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    assert lead(folder).startswith("Done. 300 of 300 steps in ")
    assert lead(folder).endswith("The smoothed loss went from 0.1495 to 0.09493.")
    what = dict(row for row in rows(folder, "What was trained") if len(row) == 2)
    assert what["Base"] == "dream-v1.safetensors"
    assert what["SHA-256 of the base"] == "ab12" * 16
    assert what["Family"] == "SD 1.x"
    assert what["Trained"] == "LoRA, rank 24, alpha 8"
    assert what["Parts"] == "UNet at 1e-4, Text Encoder at 5e-5"
    assert what["Pictures"] == "12 in riho (10 times each)"
    assert what["Class pictures"] == "120 in girls"
    assert what["Tags in captions"] == "riho girl (12), smile (7), park (3)"
    assert ("riho", "riho", "Training", "riho", "girl", "10") in rows(folder, "What was trained")


def test_settings_that_differ_from_the_preset_are_named_as_in_the_form(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    changes = {"optimizer.name": "prodigy", "saving.during": ["result", "state"], "length.batch_size": 2}
    run = MadeRun(folder, sourced(**changes))
    run.start()
    assert blocks(folder, "Settings of its own")[0] == "Made with the preset Person; what differs from it:"
    found = {row[0]: row[1:] for row in rows(folder, "Settings of its own")}
    assert found["Network: Network Rank (Dimension)"] == ("24", "16", "form")
    assert found["Optimizer: Optimizer"][0] == "Prodigy (finds its rate)"
    assert found["Saving: Save During Training"][0] == (
        "What is trained (LoRA, embedding or checkpoint), A state to go on from"
    )
    assert found["Saving: Output Folder"] == ("results", "none", "form")
    # Neither what the preset says nor what the concepts show.
    assert not any("Learning Rate" in name or "Token" in name for name in found)


def test_what_was_done_twice_is_shown_once(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    charts = {chart.name: chart for chart in document_of(story_of(folder)).charts()}
    assert list(charts) == ["loss", "validation", "rates", "gradient", "weights"]
    raw, smooth = charts["loss"].lines
    assert [step for step, _ in raw.points] == list(range(1, 301)) == [step for step, _ in smooth.points]
    assert charts["loss"].marks == (180,)
    assert [line.name for line in charts["rates"].lines] == ["UNet", "Text Encoder"]
    assert [line.name for line in charts["validation"].lines] == ["held out", "class pictures"]


def test_time_counts_both_parts_without_the_pause(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    found = dict(row for row in rows(folder, "Time and memory") if len(row) == 2)
    # Told every half second: 1 start, 1 phase, 190 steps and what fell due between them.
    assert found["Time on the device"] == "about 3 min 15 s"
    assert found["Card-hours"] == "0.05"
    assert found["Paused"] == "5 min 00 s"
    assert found["Peak memory of the card"] == "7.4 GB"
    assert found["Interruptions"] == "1"
    first, second = (row for row in rows(folder, "Time and memory") if len(row) > 2)
    assert (first[1], first[2], first[4]) == ("0", "190", "1 pause") and "interrupted" in first[5]
    assert (second[1], second[2], second[3], second[5]) == ("180", "300", "1 min 32 s", "done")


def test_files_with_their_hashes_and_those_that_are_gone(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    place = tmp_path / USER / "Lora" / "riho"
    (place / "riho-000060.safetensors").unlink()
    found = {row[0]: row[1:] for row in rows(folder, "Files")}
    digest = hashlib.sha256((place / "riho-000300.safetensors").read_bytes()).hexdigest()
    assert found["riho-000300.safetensors"] == ("Result", "300", "10.0", "14.0 kB", digest[:10], "")
    assert found["riho-000060.safetensors"] == ("Result", "60", "2.0", "13.0 kB", "–", "no longer there")
    assert found["step-00000300"][:2] == ("State", "300")


def test_previews_by_prompt_and_step(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    (gallery,) = blocks(folder, "Previews")
    assert isinstance(gallery, Gallery)
    assert gallery.head == ("untouched", "step 60", "step 120", "step 180", "step 240", "step 300")
    assert [title for title, _ in gallery.rows][1] == "a girl, standing"
    shown = gallery.rows[1][1][2]
    assert shown is not None and shown.link == "../samples/step-00000120-02-42.png"


def test_the_files_hold_no_name_of_a_user(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    facts = {**FACTS, "note": f"from {HOME}/x.png"}
    run.start(facts=facts)
    told = rf"C:\Users\{USER}\a b\c.png and {HOME}/d.png cannot be read"
    run.tell(Warned(text=told, where=rf"C:\Users\{USER}\a b\c.png"))
    run.steps(1, 20)
    run.save(20, tmp_path / USER / "Lora")
    run.tell(Sampled(files=(f"{HOME}/x.png",), step=20, prompts=(f"as in {HOME}/x.png",)))
    run.finish("failed", 20, 9.0, what=f"{HOME}/e is full.", where=f"{HOME}/e", code="disk-full")
    text, _ = write_report(folder)
    for path in folder.report_dir.iterdir():
        assert USER not in path.read_text(encoding="utf-8")
    assert "riho-000020.safetensors" in text.read_text(encoding="utf-8")
    assert "c.png" in text.read_text(encoding="utf-8")


def test_the_page_runs_nothing_and_fetches_nothing(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    concept = {"folder": "cats", "token": HOSTILE.replace("\n", " "), "class_token": "cat"}
    run = MadeRun(folder, sourced(concepts=[concept]))
    run.start(facts={HOSTILE: HOSTILE}, device=HOSTILE)
    run.steps(1, 3)
    run.sample(3, (HOSTILE, "</td></table><script>alert(2)</script>"))
    run.tell(Warned(text=HOSTILE, where=HOSTILE))
    run.finish("failed", 3, 1.0, what=HOSTILE, todo=HOSTILE)
    text, html = write_report(folder)
    page = html.read_text(encoding="utf-8")
    found = Tags(page)
    kinds = {tag for tag, _ in found.tags}
    assert not kinds & {"script", "link", "iframe", "object", "form", "base", "foreignobject"}
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "img" or str(attributes["src"]).startswith("data:image/jpeg;base64,")
        assert "href" not in attributes or str(attributes["href"]).startswith("../samples/")
    assert "<img src=x onerror=alert(1)>" in found.text and "\u202e" not in page
    # As Markdown: no HTML, no link but to our own pictures, and every table keeps its columns.
    lines = text.read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert not re.search(r"(?<!\\)<", line)
        links = re.findall(r"(?<!\\)\]\(([^)]*)\)", line)
        assert all(link.startswith(("../samples/", html.stem)) for link in links)
        assert not line.startswith("# ") or line == lines[0]
    tables = [line for line in lines if line.startswith("|")]
    heads = [number for number, line in enumerate(tables) if "---" in line or "--:" in line]
    for begin, end in zip(heads, [*heads[1:], len(tables) + 1], strict=True):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in tables[begin - 1 : end - 1]}
        assert len(counts) == 1


def test_a_folder_can_be_moved_with_its_report(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    text, html = write_report(folder)
    moved = folder.path.rename(tmp_path / "elsewhere")
    place = moved / "report"
    markdown = (place / text.name).read_text(encoding="utf-8")
    links = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", markdown)
    assert len(links) == 5 + 3 * 6
    hrefs = [
        str(attributes["href"])
        for tag, attributes in Tags((place / html.name).read_text("utf-8")).tags
        if tag == "a"
    ]
    for link in (*links, *hrefs):
        assert (place / unquote(link)).is_file()


def test_a_killed_run_with_a_torn_last_line(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.start()
    run.steps(1, 40)
    run.log.close()
    with folder.events_path.open("ab") as file:
        file.write(b'{"kind":"step","sequ')
    text, html = write_report(folder)
    assert lead(folder).startswith("Interrupted: the log ends without an end of the run. 40 of 300 steps in ")
    assert text.is_file() and html.is_file()


def test_a_cancelled_run(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.start(total=None, device="cpu")  # type: ignore[arg-type]
    run.steps(1, 10)
    run.finish("discarded", 10, 3661)
    assert lead(folder).startswith("Cancelled without saving. 10 steps in 1 h 01 min.")
    found = dict(row for row in rows(folder, "Time and memory") if len(row) == 2)
    assert found["Card-hours"] == "none, trained on the processor"
    assert blocks(folder, "Files") == ["None was written."]


def test_a_run_that_failed_before_its_first_step(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.prepare()
    run.finish("failed", 0, 4.0, what="no picture can be used.", where=f"{HOME}/riho", todo="Add some.")
    assert lead(folder) == "Failed: riho: no picture can be used. Add some. 0 steps in 4 s."
    text, _ = write_report(folder)
    assert text.stem == Path(run.copy).stem
    # The run's id stands in no event.
    assert write_report(folder, "some")[0] == text
    assert "24" in [row[1] for row in rows(folder, "Settings of its own")]


def test_an_attempt_that_failed_belongs_to_the_run_it_wanted_to_go_on_with(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.start("a")
    run.steps(1, 30)
    run.save(30, tmp_path / "out")
    run.finish("cancelled", 30, 10.0)
    run.prepare()
    run.finish("failed", 30, 1.0, what="the base checkpoint was replaced.")
    for lineage in ("", "a"):
        assert lead(folder, lineage).startswith("Cancelled. 30 of 300 steps in 11 s.")
        assert lead(folder, lineage).endswith("A later attempt failed: the base checkpoint was replaced.")
    run.start("b", first_step=30)
    run.steps(31, 300, every=10)
    run.finish("done", 300, 100.0)
    found = [row for row in rows(folder, "Time and memory") if len(row) > 2]
    assert [row[5] for row in found] == ["cancelled", "failed: the base checkpoint was replaced", "done"]


def test_starting_over_begins_another_report(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.start("old")
    run.steps(1, 50)
    run.save(50, tmp_path / "out")
    run.finish("cancelled", 50, 10.0)
    old = write_report(folder)
    run.start("new")
    run.steps(1, 20)
    run.save(20, tmp_path / "out")
    run.finish("cancelled", 20, 5.0)
    new = write_report(folder)
    assert old[0] != new[0] and write_report(folder, "old") == old
    assert lead(folder).startswith("Cancelled. 20 of 300 steps in 5 s.")
    assert lead(folder, "old").startswith("Cancelled. 50 of 300 steps in 10 s.")
    # Somebody goes on from a state of the old one.
    run.start("again", first_step=50)
    run.steps(51, 60)
    run.finish("done", 60, 5.0)
    assert lead(folder, "again").startswith("Done. 60 of 300 steps in 15 s.")


def test_a_report_outlives_its_settings_and_its_card(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    for path in (*folder.history_dir.iterdir(), folder.settings_path, folder.path / "model.toml"):
        path.write_text("[[broken", encoding="utf-8")
    text, _ = write_report(folder)
    assert "The settings of this run cannot be read any more." in text.read_text(encoding="utf-8")
    assert ("Base", "dream-v1.safetensors") in rows(folder, "What was trained")


@pytest.mark.parametrize("lineage", ["", "none"])
def test_a_model_without_such_a_run(tmp_path: Path, lineage: str) -> None:
    with pytest.raises(FileError) as caught:
        write_report(a_folder(tmp_path), lineage)
    assert caught.value.code == "no-such-run"


def test_a_run_that_the_log_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="knows no such run"):
        write_report(whole_run(tmp_path), "none")


def test_bare_events_are_enough(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.now = 1e300
    run.tell(Started(run_id="r"))
    text, _ = write_report(folder)
    assert "No step was taken." in text.read_text(encoding="utf-8")


def test_numbers_for_spreadsheets(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    text, _ = write_report(folder)
    with (folder.report_dir / f"{text.stem}-curves.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["step"]) for row in table] == list(range(1, 301))
    assert float(table[59]["loss/smoothed"]) == pytest.approx(0.09 + 0.06 * 2.718281828**-0.5)
    assert table[59]["validation/class pictures"] == "0.1206" and table[60]["validation/held out"] == ""


def test_previews_are_called_by_their_concept_and_stand_above_what_they_are_like(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.start(10)
    run.sample(0, ("a girl", "a dog", "a cat"))
    [files] = [event.files for event in read_events(folder.events_path) if isinstance(event, Sampled)]
    run.tell(
        Sampled(
            files=files[:2],
            step=5,
            prompts=("a girl", "a dog"),
            concepts=("Mika", ""),
            nearest=(files[2], ""),
        )
    )
    gallery = blocks(folder, "Previews")[0]
    assert isinstance(gallery, Gallery)
    assert [title for title, shown in gallery.rows if shown[1]] == [
        "Mika: a girl",
        "The training picture most like Mika: a girl",
        "a dog",
    ]
