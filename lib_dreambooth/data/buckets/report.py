"""What buckets do to each picture, and how full they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lib_dreambooth.data.buckets.cuts import Cut, lost_share
from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.item import Item


@dataclass(frozen=True, slots=True)
class BucketRow:
    """One picture: its bucket, how much it is enlarged (below 1: shrunk), and what is cut off.

    `cut_off` is left, top, right, bottom in pixels of the picture itself, `lost` the share of its area.
    `moves` is True where the crop is drawn, so that `cut_off` is one of several.
    """

    path: str
    size: Pixels
    bucket: Pixels
    scale: float
    cut_off: tuple[int, int, int, int]
    lost: float
    moves: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form that `--json` and the page print."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BucketReport:
    """All pictures, and the visits of an epoch by bucket."""

    rows: tuple[BucketRow, ...]
    visits: dict[Pixels, int]

    def to_json(self) -> dict[str, Any]:
        """The form that `--json` and the page print."""
        buckets = [
            {"width": w, "height": h, "visits": count} for (w, h), count in sorted(self.visits.items())
        ]
        return {"buckets": buckets, "pictures": [row.to_json() for row in self.rows]}


def bucket_row(item: Item, cuts: tuple[Cut, ...]) -> BucketRow:
    """One picture's row from the cuts that can occur; the first stands for all."""
    cut = cuts[0]
    scale = cut.scaled[0] / item.size[0], cut.scaled[1] / item.size[1]
    right, bottom = cut.scaled[0] - cut.box[2], cut.scaled[1] - cut.box[3]
    cut_off = (
        round(cut.left / scale[0]),
        round(cut.top / scale[1]),
        round(right / scale[0]),
        round(bottom / scale[1]),
    )
    unflipped = {(one.scaled, one.left, one.top) for one in cuts if not one.flipped}
    return BucketRow(
        item.path,
        item.size,
        cut.size,
        round(max(scale), 4),
        cut_off,
        round(lost_share(cut), 4),
        len(unflipped) > 1,
    )


def bucket_report(
    items: Iterable[tuple[Item, tuple[Cut, ...]]], visits: Mapping[Pixels, int]
) -> BucketReport:
    """Rows in the order of the items."""
    return BucketReport(tuple(bucket_row(item, cuts) for item, cuts in items), dict(Counter(visits)))


def bucket_lines(report: BucketReport) -> list[str]:
    """The report as lines for a terminal: buckets first, then the pictures that lose most."""
    lines = [f"{w:>5} x {h:<5} {count:>6} visits" for (w, h), count in sorted(report.visits.items())]
    for row in sorted(report.rows, key=lambda row: -row.lost):
        width, height = row.size
        lines.append(
            f"{row.path}: {width}x{height} -> {row.bucket[0]}x{row.bucket[1]}, scaled {row.scale:g}, "
            f"{row.lost:.0%} cut off"
        )
    return lines
