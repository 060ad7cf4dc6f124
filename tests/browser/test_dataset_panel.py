"""The pictures in the page: each as it is trained, captions one by one and all at once, folders, a tagger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served, kept_picture, set_field, show
from tests.data_tags.onnx_bytes import tagger_model

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))


def opened(browser: Chromium, served: Served, folder: Path, theme: str = "light") -> Page:
    page = served.open(browser, theme)
    set_field(page, "concepts.0.folder", str(folder))
    show(page, "dataset")
    return page


def looked_at(page: Page, count: int) -> None:
    page.press("#dreambooth_look")
    page.wait(f"document.querySelectorAll('.dreambooth-item').length === {count}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_as_it_is_trained_and_its_caption(
    browser: Chromium, served: Served, pictures: Path, theme: str, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(pictures, folder)
    first = sorted(folder.glob("*.png"))[0]
    with Image.open(first) as picture:
        half = Image.new("L", picture.size, 0)
    half.paste(255, (0, 0, half.width, half.height // 2))
    half.save(first.with_name(f"{first.stem}-mask.png"))
    page = opened(browser, served, folder, theme)
    looked_at(page, 8)
    kept_picture(page, f"dataset-looked-{theme}")
    page.press(".dreambooth-item .dreambooth-button")
    seen = "document.querySelector('.dreambooth-visit-seen')"
    page.wait(f"({seen} || {{}}).naturalWidth > 0")
    assert page.js(f"{seen}.naturalWidth % 64") == 0
    page.wait("(document.querySelector('.dreambooth-visit-mask') || {}).naturalWidth > 0")
    assert page.js(
        "['width','height'].every((side) => document.querySelector('.dreambooth-visit-mask')"
        f".getBoundingClientRect()[side] === {seen}.getBoundingClientRect()[side])"
    )
    kept_picture(page, f"visit-{theme}")
    page.press("#dreambooth_visit_next")
    page.wait("document.querySelector('.dreambooth-visit .dreambooth-row strong').textContent === 'Visit 2'")
    page.type("#dreambooth_caption_text", "a <b>zwx</b> ring, by hand")
    page.press("#dreambooth_caption_save")
    page.wait("document.querySelector('.dreambooth-visit-caption').textContent.includes('by hand')")
    assert first.with_suffix(".txt").read_text(encoding="utf-8") == "a <b>zwx</b> ring, by hand"
    assert page.errors == []
    page.close()


def test_many_pictures_come_some_at_once(browser: Chromium, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(405):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png", compress_level=1)
    page = opened(browser, served, folder)
    looked_at(page, 200)
    more = "#dreambooth_more_pictures"
    assert page.js(f"document.querySelector('{more}').textContent") == "and 205 more"
    for count in (400, 405):
        page.press(more)
        page.wait(f"document.querySelectorAll('.dreambooth-item').length === {count}")
    assert page.js(f"document.querySelector('{more}')") is None
    names = "[...document.querySelectorAll('.dreambooth-item strong')].map((one) => one.textContent)"
    assert page.js(names) == [f"{number:03d}.png" for number in range(405)]
    page.close()


def test_edits_reach_every_concept_and_are_taken_back(
    browser: Chromium, served: Served, pictures: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(pictures, folder)
    before = {path: path.read_bytes() for folder in folders for path in folder.glob("*.txt")}
    page = opened(browser, served, folders[0])
    page.js(f"sdDreambooth.field.set('concepts.1.folder', {json.dumps(str(folders[1]))})")
    page.type("#dreambooth_caption_old", "ring")
    page.type("#dreambooth_caption_new", "hoop")
    page.press("#dreambooth_caption_show")
    page.wait("document.querySelectorAll('.dreambooth-captions tbody tr').length === 16")
    kept_picture(page, "captions-edit")
    page.press("#dreambooth_caption_apply")
    page.wait("document.querySelector('.dreambooth-saying').innerText.includes('16 captions')")
    assert all(b"hoop" in path.read_bytes() for path in before)
    page.press("#dreambooth_caption_undo")
    page.wait("document.querySelector('.dreambooth-captions').innerText.includes('Taken back')")
    assert {path: path.read_bytes() for path in before} == before
    assert page.errors == []
    page.close()


def test_class_pictures_are_counted(
    browser: Chromium, served: Served, pictures: Path, tmp_path: Path
) -> None:
    page = opened(browser, served, pictures)
    shutil.copytree(pictures, tmp_path / "class")
    page.js(f"sdDreambooth.field.set('concepts.0.class_folder', {json.dumps(str(tmp_path / 'class'))})")
    page.js("sdDreambooth.field.set('concepts.0.class_prompt', 'a ring')")
    page.js("sdDreambooth.field.set('class_pictures.relation', 'mixed')")
    looked_at(page, 16)
    assert "8 found" in page.text(".dreambooth-class-counts")
    assert "will not be read" in page.text(".dreambooth-dataset .dreambooth-findings")
    kept_picture(page, "dataset-classes")
    page.close()


def test_a_folder_is_found_by_walking(
    browser: Chromium, served: Served, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "mine" / "5_ring")
    page = opened(browser, served, tmp_path / "mine")
    field = '#dreambooth_panel_dataset [data-path="concepts.0.folder"]'
    page.press_text("Browse", field)
    page.wait("document.querySelector('.dreambooth-places')")
    kept_picture(page, "browse")
    page.press(".dreambooth-places button")
    page.wait(
        "document.querySelector('.dreambooth-browse .dreambooth-primary').innerText.includes('8 pictures')"
    )
    page.press(".dreambooth-browse .dreambooth-primary")
    page.wait("sdDreambooth.schema.value('concepts.0.folder').endsWith('5_ring')")
    assert page.js("document.querySelector('.dreambooth-browse')") is None
    assert page.errors == []
    page.close()


@pytest.mark.needs("onnxruntime")
def test_a_tagger_writes_captions(browser: Chromium, served: Served, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(pictures, folder, ignore=shutil.ignore_patterns("*.txt"))
    place = served.host.paths.models / "taggers"
    place.mkdir(exist_ok=True)
    weights = np.array([[9.0, 0.0], [9.0, 0.0], [9.0, 9.0]], dtype=np.float32)
    (place / "small.onnx").write_bytes(tagger_model(weights, np.zeros(2, dtype=np.float32)))
    (place / "small.csv").write_text("tag_id,name,category,count\n0,light,0,1\n1,red,0,1\n", encoding="utf-8")
    page = opened(browser, served, folder)
    page.press("#dreambooth_tagger_look")
    page.type("#dreambooth_tagger_front", "zwx ring")
    page.press_text("Show what changes", ".dreambooth-tagger")
    page.wait(
        "document.querySelector('.dreambooth-tagger').innerText.includes('8 captions would be written')"
    )
    kept_picture(page, "tagger")
    page.press("#dreambooth_tagger_write")
    page.wait("document.querySelector('.dreambooth-saying').innerText.includes('8 captions are changed')")
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.txt")]
    assert len(texts) == 8 and all(text.startswith("zwx ring, ") for text in texts)
    page.press("#dreambooth_caption_undo")
    page.wait("document.querySelector('.dreambooth-captions').innerText.includes('Taken back')")
    assert list(folder.glob("*.txt")) == []
    assert page.errors == []
    page.close()


def test_class_pictures_are_drawn_without_a_training(
    browser: Chromium, served: Served, pictures: Path
) -> None:
    page = opened(browser, served, pictures)
    page.js("sdDreambooth.store.put('newName', 'classes')")
    page.press("#dreambooth_draw_classes")
    # What they are for is not said yet.
    page.wait("document.querySelector('.dreambooth-saying').innerText.includes('class pictures are off')")
    page.js(
        """Object.entries({"class_pictures.relation": "mixed", "class_pictures.total": 2,
        "class_pictures.steps": 1, "concepts.0.class_prompt": "a ring", "pictures.resolution": "64"})
        .forEach(([path, value]) => sdDreambooth.field.set(path, value))"""
    )
    page.press("#dreambooth_draw_classes")
    said = "document.querySelector('.dreambooth-saying').innerText"
    page.wait(f"{said}.includes('2 class pictures were drawn; classes has 2.')")
    assert page.js("sdDreambooth.schema.value('class_pictures.draw')") is True
    folder = served.host.paths.dreambooth / "classes"
    assert len(list((folder / "class_images").glob("*.png"))) == 2
    assert page.errors == []
    page.close()
