"""The whole report on drawn pictures: all planted faults found, none invented on clean sets; the page."""

from __future__ import annotations

import html.parser
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lib_dreambooth.base.errors import Cancelled, FileError
from lib_dreambooth.data.buckets.cuts import CutSettings, numbered_cut
from lib_dreambooth.data.buckets.sizes import BucketSettings, bucket_of
from lib_dreambooth.data.health.loading import loader
from lib_dreambooth.data.health.measures import Fit
from lib_dreambooth.data.health.page import page, text
from lib_dreambooth.data.health.report import Report, look_at, report
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept
from lib_dreambooth.settings.sections.pictures import Pictures
from tests.data_health.drawn import blurred, framed, letterboxed, person, texture
from tests.data_health.made import item

BUCKETS = BucketSettings((256, 256))
CONCEPT = Concept(token="sks", class_token="girl")


def fit_of(one: Item) -> Fit:
    return Fit.of(one.size, numbered_cut(one, bucket_of(one.size, BUCKETS), 0, False, CutSettings(), 0))


def examine(pictures: dict[Item, Image.Image], concept: Concept = CONCEPT, **options: object) -> Report:
    """The report on pictures in memory; each item takes its picture's size."""
    sized = {replace(one, size=image.size): image for one, image in pictures.items()}
    images = {one.path: image for one, image in sized.items()}
    looking = look_at(list(sized), lambda one: images[one.path], with_thumbnails=True)
    return report(
        list(sized),
        lambda one: (Captions(), concept),
        {one.id: fit_of(one) for one in sized},
        looking,
        count_tokens=lambda words: len(words.split()),
        **options,  # type: ignore[arg-type]
    )


def clean_set() -> dict[Item, Image.Image]:
    photos = {item(f"set/photo{i}.png", f"sks, place {i}"): texture(i) for i in range(6)}
    return photos | {item(f"set/drawn{i}.png", f"sks, pose {i}"): person(i) for i in range(6)}


def found(result: Report) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.code, finding.paths) for finding in result.findings]


def test_nothing_is_invented_on_a_clean_set() -> None:
    result = examine(clean_set())
    assert found(result) == []
    assert (result.pictures, result.class_pictures, result.visits) == (12, 0, 12)
    assert result.buckets == {"256x256": 12}
    assert result.framing == {"full": 6, "unknown": 6}
    assert [row.triggers for row in result.triggers] == [("sks",)]


@pytest.mark.parametrize(
    ("code", "image"),
    [
        ("blurred", blurred(texture(20), 4)),
        ("blurred", blurred(person(20), 4)),
        ("flat-border", letterboxed(texture(20))),
        ("flat-border", framed(texture(20), 16)),
        ("too-small", texture(20).resize((128, 128))),
        ("near-duplicate", texture(2).resize((240, 240))),
        ("mirrored-duplicate", texture(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        ("one-sided-crop", person(20, centre=0.03)),
        ("flat-picture", Image.new("RGB", (256, 256), (9, 9, 9))),
    ],
)
def test_a_planted_fault_is_found_and_nothing_else(code: str, image: Image.Image) -> None:
    result = examine(clean_set() | {item("set/bad.png", "sks, bad"): image})
    assert [kind for kind, _ in found(result)] == [code]
    assert "set/bad.png" in found(result)[0][1]
    assert all((f.what, f.effect, f.todo) for f in result.findings)


def test_shapes_that_fall_out_of_the_set() -> None:
    result = examine(clean_set() | {item("set/wide.png", "sks, wide"): texture(20, (1300, 240))})
    assert found(result) == [("cut-by-bucket", ("set/wide.png",)), ("shape-outlier", ("set/wide.png",))]
    assert "left and right" in result.findings[0].what


def test_exact_duplicates_name_all_and_the_largest_stays() -> None:
    pictures = clean_set()
    same = {item(f"set/copy{i}.png", "sks, x", content="same"): texture(30) for i in range(2)}
    other = {item("set/larger.png", "sks, x"): texture(30).resize((400, 400))}
    result = examine(pictures | same | other)
    assert found(result) == [
        ("duplicate", ("set/copy0.png", "set/copy1.png")),
        ("near-duplicate", ("set/larger.png", "set/copy0.png")),
    ]
    assert "Keep the best of them, `larger.png`" in result.findings[1].todo


def test_one_file_in_two_concepts_is_no_duplicate() -> None:
    one = item("set/a.png", "sks, x")
    result = examine(clean_set() | {one: texture(30), replace(one, id="a-2", concept=1): texture(30)})
    assert found(result) == []


def test_class_pictures_may_be_flat_and_alike_but_no_training_picture() -> None:
    flat = {
        item(f"class/{i}.png", None, is_class=True, content="flat"): Image.new("RGB", (256, 256))
        for i in range(3)
    }
    assert found(examine(clean_set() | flat)) == []
    copied = {item("class/copy.png", None, is_class=True): texture(2).resize((300, 300))}
    result = examine(clean_set() | copied)
    assert found(result) == [("near-duplicate", ("class/copy.png", "set/photo2.png"))]
    assert "to learn the picture and to keep it as it was" in result.findings[0].effect


def test_files_that_cannot_be_read_are_named_and_the_rest_goes_on() -> None:
    pictures = clean_set()
    broken = item("set/broken.png", "sks, x")

    def load(one: Item) -> Image.Image:
        if one is broken:
            raise FileError("is cut short.", where=one.path, todo="Save it again.")
        return pictures[one]

    looking = look_at([*pictures, broken], load)
    assert len(looking.measures) == 12
    assert [(f.code, f.paths) for f in looking.findings] == [("picture-unreadable", ("set/broken.png",))]
    result = report([*pictures, broken], lambda one: (Captions(), CONCEPT), {}, looking)
    assert result.findings[0].severity == "error"


def test_looking_can_be_cancelled_and_shows_progress() -> None:
    seen: list[tuple[int, int]] = []
    items = [item(f"{i}.png") for i in range(130)]
    look_at(
        items, lambda one: Image.new("RGB", (4, 4)), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(64, 130), (128, 130), (130, 130)]

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        look_at(items, lambda one: Image.new("RGB", (4, 4)), check_cancelled=stop)


def test_findings_of_the_scan_come_along_with_the_gravest_first() -> None:
    note = Finding("n", "note", (), "A note.")
    error = Finding("e", "error", (), "An error.")
    result = examine(clean_set(), scan_findings=[note, error, note])
    assert [f.code for f in result.findings] == ["e", "n"]


def test_json_holds_everything_but_thumbnails() -> None:
    result = examine(clean_set())
    data = json.loads(json.dumps(result.to_json()))
    assert data["captions"][0]["captions"] == [{"text": "sks girl, place 0", "tokens": 4, "lost": ""}]
    assert data["triggers"] == [{"triggers": ["sks"], "pictures": 12, "visits": 12}]
    assert data["tags"][0] == {"concept": 0, "tag": "sks", "count": 12, "total": 12, "kind": "other"}
    assert "base64" not in json.dumps(data)


HOSTILE = '"><script>alert(1)</script>&\u202egnp.exe\x00\ud800🎀' + "x" * 200 + ".png"


class Reader(html.parser.HTMLParser):
    """Collects tags and the addresses that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_hostile_names_are_only_text() -> None:
    hostile = {item(f"set/{HOSTILE}", f"sks, {HOSTILE}"): blurred(texture(20), 4)}
    concept = Concept(token="sks", prompt="[filewords] <b>bold</b>")
    made = page(examine(clean_set() | hostile, concept), title="<i>My set</i>")
    made.encode("utf-8")
    reader = Reader()
    reader.feed(made)
    assert reader.open == []
    assert not reader.tags & {"script", "b>", "iframe", "object", "link"}
    assert all(address.startswith("data:image/jpeg;base64,") for address in reader.addresses)
    assert len(reader.addresses) == 14, "13 in the table of captions, one with the finding"
    assert "&lt;script&gt;" in made and "<script" not in made
    assert "&lt;i&gt;My set" in made
    assert "\u202e" not in made and "\\u202e" in made
    assert "prefers-color-scheme: dark" in made
    assert "default-src 'none'" in made


def test_the_page_shows_what_is_cut_off() -> None:
    pictures = {item("a.png", " ".join(f"w{i}" for i in range(300))): texture(1)}
    made = page(examine(pictures))
    assert "<s> w223" in made
    assert "caption-cut" in made


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a\nb", "a\nb"), ("\x07", "\\u0007"), ("👩\u200d🚀", "👩\u200d🚀"), (3, "3"), ("\ue000", "\\ue000")],
)
def test_text(value: object, shown: str) -> None:
    assert text(value) == shown


def test_a_clean_page_says_so() -> None:
    assert "Nothing to complain about" in page(examine(clean_set()))


def test_pictures_are_loaded_as_they_are_trained(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (40, 20), (10, 200, 30, 0))
    clear.save(tmp_path / "clear.png")
    large = texture(1).resize((2000, 1500))
    large.save(tmp_path / "large.jpg", quality=90)
    for alpha, colour in (("composite", (255, 0, 0)), ("drop", (10, 200, 30))):
        load = loader(lambda one, alpha=alpha: Pictures(alpha=alpha, background="#ff0000"))  # type: ignore[misc]
        assert load(item(str(tmp_path / "clear.png"))).getpixel((5, 5)) == colour
    assert load(item(str(tmp_path / "large.jpg"))).size == (1000, 750)
    with pytest.raises(FileError, match="gone"):
        load(item(str(tmp_path / "none.png")))
