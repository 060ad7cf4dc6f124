"""The report of what buckets do to pictures."""

from __future__ import annotations

from lib_dreambooth.data.buckets.cuts import Cut, CutSettings, possible_cuts
from lib_dreambooth.data.buckets.report import bucket_lines, bucket_report, bucket_row
from tests.data.made_items import made_item


def test_a_row_says_scale_and_what_is_cut_off() -> None:
    item = made_item(1, size=(1000, 500))
    row = bucket_row(item, possible_cuts(item, (256, 256), CutSettings(), 0))
    assert (row.bucket, row.scale, row.cut_off, row.lost) == ((256, 256), 0.512, (250, 0, 250, 0), 0.5)
    assert not row.moves


def test_a_row_of_drawn_crops_says_so() -> None:
    item = made_item(1, size=(1000, 500))
    assert bucket_row(item, possible_cuts(item, (256, 256), CutSettings("random", 4), 0)).moves
    assert not bucket_row(item, possible_cuts(item, (256, 256), CutSettings(flip=True), 0)).moves


def test_lines_and_json_name_every_picture() -> None:
    items = [made_item(k, size=(512, 512 + 64 * k)) for k in range(3)]
    cuts = [(item, (Cut((512, 512), item.size, 0, 32 * k),)) for k, item in enumerate(items)]
    report = bucket_report(cuts, {(512, 512): 3})
    lines = bucket_lines(report)
    assert lines[0].split() == ["512", "x", "512", "3", "visits"]
    assert [line.split(":")[0] for line in lines[1:]] == [item.path for item in reversed(items)]
    shown = report.to_json()
    assert shown["buckets"] == [{"width": 512, "height": 512, "visits": 3}]
    assert [row["path"] for row in shown["pictures"]] == [item.path for item in items]
