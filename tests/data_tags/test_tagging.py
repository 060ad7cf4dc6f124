"""Tagging a folder: policies, hand-made captions, cancelling, broken pictures, undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.tags.journal import Journal
from lib_dreambooth.data.tags.tagger import TagChoice, TagScores
from lib_dreambooth.data.tags.tagging import Policy, Tagged, plan_tagging, tag_pictures


@dataclass
class ColourTagger:
    """Knows two colours."""

    name: str = "colours"
    batch_size: int = 2
    batches: list[int] = field(default_factory=list)

    def score(self, pictures: Sequence[Image.Image]) -> list[TagScores]:
        self.batches.append(len(pictures))
        names = {(255, 0, 0): "red_thing", (0, 0, 255): "blue_thing"}
        return [TagScores({names[picture.getpixel((0, 0))]: 0.9, "faint": 0.1}) for picture in pictures]  # type: ignore[index]


def open_picture(path: str) -> Image.Image:
    if "broken" in path:
        raise FileError("the picture is damaged.", where=path, todo="Save it again.")
    return Image.new("RGB", (4, 4), (255, 0, 0) if "red" in path else (0, 0, 255))


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    names = ["red1", "blue1", "broken", "red2", "blue2"]
    for name in names:
        (tmp_path / f"{name}.png").write_bytes(b"")
    return [str(tmp_path / f"{name}.png") for name in names]


def tag(pictures: list[str], journal: Journal, policy: Policy = "keep", **options: object) -> Tagged:
    plan = plan_tagging(pictures, policy, journal)
    return tag_pictures(
        plan, policy, ColourTagger(), TagChoice(front=("sks",)), journal, open_picture, **options
    )  # type: ignore[arg-type]


def texts(pictures: list[str]) -> list[str | None]:
    files = [Path(picture).with_suffix(".txt") for picture in pictures]
    return [file.read_text(encoding="utf-8") if file.exists() else None for file in files]


def test_pictures_without_captions_are_tagged_and_undo_takes_it_back(
    pictures: list[str], tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    seen: list[tuple[int, int]] = []
    done = tag(pictures, journal, on_progress=lambda n, total: seen.append((n, total)))
    assert texts(pictures) == ["sks, red thing", "sks, blue thing", None, "sks, red thing", "sks, blue thing"]
    assert [(f.code, f.paths) for f in done.findings] == [("not-tagged", (pictures[2],))]
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert journal.undo()[0].action == "Tag with colours"
    assert texts(pictures) == [None] * 5


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("keep", ["by hand", "sks, blue thing"]),
        ("refresh", ["by hand", "sks, blue thing"]),
        ("merge", ["by hand, sks, red thing", "sks, blue thing"]),
        ("replace", ["sks, red thing", "sks, blue thing"]),
    ],
)
def test_a_caption_by_hand_stays_unless_the_policy_says_so(
    pictures: list[str], tmp_path: Path, policy: Policy, expected: list[str]
) -> None:
    hand, empty = (Path(picture).with_suffix(".txt") for picture in pictures[:2])
    hand.write_bytes(b"by hand")
    empty.write_bytes(b" \n")
    tag(pictures[:2], Journal(tmp_path / "journal"), policy)
    assert texts(pictures[:2]) == expected


def test_the_plan_says_how_many_hand_made_captions_would_change(pictures: list[str], tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    Path(pictures[0]).with_suffix(".caption").write_bytes(b"by hand")
    plan = plan_tagging(pictures, "replace", journal)
    assert (plan.hand_made, len(plan.todo), len(plan.kept)) == (1, 5, 0)
    plan = plan_tagging(pictures, "keep", journal)
    assert (plan.hand_made, [c.state for c in plan.kept]) == (0, ["hand"])
    assert plan.kept[0].caption.endswith("red1.caption")


def test_refresh_replaces_a_taggers_own_words_until_somebody_edits_them(
    pictures: list[str], tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    tag(pictures[:2], journal)
    edited = Path(pictures[0]).with_suffix(".txt")
    edited.write_bytes(b"corrected by hand")
    plan = plan_tagging(pictures[:2], "refresh", journal)
    assert [(c.state, c.picture) for c in plan.todo] == [("tagger", pictures[1])]
    assert [(c.state, c.picture) for c in plan.kept] == [("hand", pictures[0])]
    tag_pictures(plan, "refresh", ColourTagger(), TagChoice(), journal, open_picture)
    assert texts(pictures[:2]) == ["corrected by hand", "blue thing"]


def test_a_stop_is_heard_between_batches_and_keeps_what_is_written(
    pictures: list[str], tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    asked = iter([False, True])
    done = tag(pictures, journal, should_stop=lambda: next(asked))
    assert done.is_cancelled
    assert texts(pictures) == ["sks, red thing", "sks, blue thing", None, None, None]
    assert tag(pictures, journal).is_cancelled is False
    assert texts(pictures) == ["sks, red thing", "sks, blue thing", None, "sks, red thing", "sks, blue thing"]


def test_json_captions_are_left(pictures: list[str], tmp_path: Path) -> None:
    Path(pictures[0]).with_suffix(".json").write_bytes(b'{"caption": "x"}')
    plan = plan_tagging(pictures[:1], "replace", Journal(tmp_path / "journal"))
    assert (plan.todo, len(plan.kept)) == ((), 1)


def test_merging_into_a_doubtful_file_is_refused(pictures: list[str], tmp_path: Path) -> None:
    Path(pictures[0]).with_suffix(".txt").write_bytes(b"1girl\x81")
    plan = plan_tagging(pictures[:1], "merge", Journal(tmp_path / "journal"))
    assert (plan.todo, len(plan.kept)) == ((), 1)
