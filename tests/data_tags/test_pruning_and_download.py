"""What is proposed for removal and why; what may be downloaded and what is thrown away."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.tags import download
from lib_dreambooth.data.tags.download import Pinned, obtain
from lib_dreambooth.data.tags.pruning import (
    Proposal,
    as_edit,
    lower_bound,
    propose_by_folder,
    propose_pruning,
)
from lib_dreambooth.data.tags.vocabulary import framing_of, kind_of


def captions(count: int, **tags: int) -> dict[str, str]:
    """`count` captions, each tag in the first so many of them."""
    rows = [", ".join(t.replace("__", " ") for t, n in tags.items() if i < n) for i in range(count)]
    return {f"{i}.txt": row or "nothing" for i, row in enumerate(rows)}


def proposed(found: list[Proposal]) -> dict[str, tuple[str, bool]]:
    return {p.tag: (p.reason, p.is_recommended) for p in found}


def test_proposals_name_their_reason() -> None:
    rows = captions(
        20, sks=20, solo=18, blue__eyes=16, red__hair=4, hat=9, witch__hat=9, ribbon=15, smile=8,
        highres=3, masterpiece=20, closed__eyes=1,
    )  # fmt: skip
    found = propose_pruning(rows, triggers=["sks"])
    assert proposed(found) == {
        "solo": ("clothes", True),
        "blue eyes": ("trait", True),
        "hat": ("general", True),
        "highres": ("meta", True),
        "masterpiece": ("quality", True),
        "closed eyes": ("once", False),
    }
    assert [p.tag for p in found][:2] == ["masterpiece", "solo"]
    assert next(p for p in found if p.tag == "hat").by == "witch hat"
    assert next(p for p in found if p.tag == "solo").why.startswith("Nearly every prompt has it")
    edit = as_edit([p for p in found if p.is_recommended])
    assert edit(rows["0.txt"]) == "sks, red hair, witch hat, ribbon, smile, closed eyes"


def test_each_folder_is_judged_on_its_own() -> None:
    rows = {f"a/{i}.txt": "sks, blue eyes" for i in range(9)} | {
        f"b/{i}.txt": "riho, smile" for i in range(9)
    }
    rows |= {f"c/{i}.txt": "x, blue eyes" if i == 0 else "x" for i in range(9)}
    found = propose_by_folder(rows, triggers=["sks"])
    assert {folder: [p.tag for p in proposals] for folder, proposals in found.items()} == {"a": ["blue eyes"]}


def test_few_pictures_prove_little() -> None:
    assert proposed(propose_pruning(captions(5, blue__eyes=3))) == {}
    assert proposed(propose_pruning(captions(5, blue__eyes=5))) == {"blue eyes": ("trait", True)}
    assert propose_pruning({}) == []
    assert lower_bound(0, 0) == 0
    assert lower_bound(8, 10) == pytest.approx(0.541, abs=0.001)


def test_a_general_tag_that_also_stands_alone_stays() -> None:
    assert proposed(propose_pruning(captions(10, hat=9, witch__hat=8))) == {}


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("1girl", "people"),
        ("long hair", "body"),
        ("closed eyes", "state"),
        ("hair ornament", "accessory"),
        ("hair ribbon", "accessory"),
        ("red bow", "accessory"),
        ("fake animal ears", "accessory"),
        ("cat ears", "body"),
        ("holding hat", "accessory"),
        ("holding sword", "other"),
        ("highres", "meta"),
        ("outdoors", "other"),
    ],
)
def test_kinds(tag: str, kind: str) -> None:
    assert kind_of(tag) == kind


@pytest.mark.parametrize(
    ("tags", "framing"),
    [
        ({"full body", "hat"}, "full"),
        ({"full body", "from behind"}, "back"),
        ({"cowboy shot"}, "half"),
        ({"portrait", "upper body"}, "half"),
        ({"close-up"}, "head"),
        ({"hat"}, None),
    ],
)
def test_framings(tags: set[str], framing: str | None) -> None:
    assert framing_of(frozenset(tags)) == framing


GOOD = b"a model"
PINNED = Pinned("m.onnx", "https://example.org/m.onnx", hashlib.sha256(GOOD).hexdigest(), len(GOOD))


def test_nothing_is_fetched_without_leave(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="downloading was not allowed") as caught:
        obtain(PINNED, tmp_path, None)
    assert caught.value.code == "download-not-allowed"
    assert PINNED.url in caught.value.todo


def test_the_pinned_file_is_fetched_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(url: str, path: Path) -> None:
        asked.append(url)
        path.write_bytes(GOOD)

    for _ in range(2):
        path = obtain(PINNED, tmp_path / "taggers", fetch)
    assert (path.read_bytes(), asked) == (GOOD, [PINNED.url])
    assert obtain(PINNED, tmp_path / "taggers", None) == path
    path.write_bytes(b"b model")
    obtain(PINNED, tmp_path / "taggers", fetch)
    assert (path.read_bytes(), len(asked)) == (GOOD, 2)


@pytest.mark.parametrize("content", [b"<html>", b"b model", None])
def test_anything_else_is_thrown_away(tmp_path: Path, content: bytes | None) -> None:
    def fetch(url: str, path: Path) -> None:
        if content is not None:
            path.write_bytes(content)

    with pytest.raises(FileError, match="not the expected file"):
        obtain(PINNED, tmp_path, fetch)
    assert list(tmp_path.iterdir()) == []


def test_the_pins_are_complete() -> None:
    for pinned in (download.MODEL, download.TAG_LIST):
        assert len(bytes.fromhex(pinned.sha256)) == 32
        assert "/resolve/main/" not in pinned.url, "a branch can move, a revision cannot"
