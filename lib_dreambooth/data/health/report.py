"""The whole report: every finding and table about a dataset, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from PIL import Image

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.captions.compose import prepare
from lib_dreambooth.data.captions.preview import (
    CaptionPreview,
    CountTokens,
    Pace,
    SettingsOf,
    cut_findings,
    preview,
)
from lib_dreambooth.data.health.captions import Captioned, caption_findings
from lib_dreambooth.data.health.classes import ignored_captions
from lib_dreambooth.data.health.exposure import (
    Exposure,
    exposure_findings,
    exposures,
    framing_findings,
    framing_table,
    triggers_of,
)
from lib_dreambooth.data.health.foldernames import folder_findings
from lib_dreambooth.data.health.look import framing_seen
from lib_dreambooth.data.health.measures import Fit, Measures, measure
from lib_dreambooth.data.health.pictures import Seen, picture_findings
from lib_dreambooth.data.health.tagtable import TagCount, framings, tag_findings, tag_table
from lib_dreambooth.data.item import Finding, Item

# An item's pixels as RGB, as they are trained; UserError where they cannot be had.
Load = Callable[[Item], Image.Image]
SEVERITIES = ("error", "warning", "note")
# Decoding leaves the interpreter free.
THREADS = 2
PORTION = 64


@dataclass(frozen=True, slots=True)
class Report:
    """What a dataset holds and what is wrong with it. Findings come with the gravest first."""

    pictures: int
    class_pictures: int
    visits: int
    findings: tuple[Finding, ...]
    tags: tuple[TagCount, ...] = ()
    triggers: tuple[Exposure, ...] = ()
    pairs: tuple[Exposure, ...] = ()
    framing: dict[str, int] = field(default_factory=dict)
    buckets: dict[str, int] = field(default_factory=dict)
    captions: tuple[CaptionPreview, ...] = ()
    thumbnails: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The form that `--json` prints; thumbnails are for the page only."""
        return {
            "pictures": self.pictures,
            "class_pictures": self.class_pictures,
            "visits": self.visits,
            "findings": [finding.to_json() for finding in self.findings],
            "tags": [row.to_json() for row in self.tags],
            "triggers": [row.to_json() for row in self.triggers],
            "pairs": [row.to_json() for row in self.pairs],
            "framing": self.framing,
            "buckets": self.buckets,
            "captions": [one.to_json() for one in self.captions],
        }


@dataclass(frozen=True)
class Looking:
    """Measures of the pictures that could be read, by path, and findings about the others."""

    measures: dict[str, Measures]
    findings: tuple[Finding, ...]


def look_at(
    items: Sequence[Item],
    load: Load,
    with_thumbnails: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Looking:
    """Measures every picture once. `check_cancelled` raises to stop."""
    once = list({item.path: item for item in items}.values())
    measures: dict[str, Measures] = {}
    findings = []

    def one(item: Item) -> Measures | UserError:
        try:
            return measure(load(item), with_thumbnails)
        except UserError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(once), PORTION):
            check_cancelled()
            portion = once[start : start + PORTION]
            for item, result in zip(portion, pool.map(one, portion), strict=True):
                if isinstance(result, Measures):
                    measures[item.path] = result
                else:
                    findings.append(_not_looked_at(item, result))
            progress(start + len(portion), len(once))
    return Looking(measures, tuple(findings))


def report(
    items: Sequence[Item],
    settings_of: SettingsOf,
    fits: dict[str, Fit],
    looking: Looking,
    scan_findings: Iterable[Finding] = (),
    count_tokens: CountTokens | None = None,
    pace: Pace | None = None,
) -> Report:
    """Puts everything together. `fits` are by item id; without `count_tokens` captions are not previewed."""
    seen = [Seen(item, looking.measures.get(item.path), fits.get(item.id)) for item in items]
    training = [_captioned(item, settings_of) for item in items if not item.is_class]
    previews = tuple(preview(items, settings_of, count_tokens, pace)) if count_tokens else ()
    single, pairs = exposures(training, triggers_of(training))
    framing = _seen_framings(seen) | framings(training)
    folders = {str(PurePath(one.item.path).parent) for one in training if _reads_repeats(one)}
    findings = [
        *scan_findings,
        *looking.findings,
        *picture_findings(seen),
        *caption_findings(training),
        *ignored_captions(items, settings_of),
        *cut_findings(previews),
        *tag_findings(training),
        *exposure_findings(single),
        *framing_findings(framing),
        *folder_findings(folders),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    counts = Counter(fit.bucket for fit in fits.values())
    return Report(
        pictures=len(training),
        class_pictures=len(items) - len(training),
        visits=sum(one.item.repeats for one in training),
        findings=tuple(dict.fromkeys(findings)),
        tags=tuple(tag_table(training)),
        triggers=tuple(single),
        pairs=tuple(pairs),
        framing=framing_table(framing, [one.item.path for one in training]),
        buckets={f"{width}x{height}": counts[width, height] for width, height in sorted(counts)},
        captions=previews,
        thumbnails={path: m.thumbnail for path, m in looking.measures.items() if m.thumbnail},
    )


def _captioned(item: Item, settings_of: SettingsOf) -> Captioned:
    captions, concept = settings_of(item)
    return Captioned(item, prepare(item.caption.text, captions, concept), captions, concept)


def _seen_framings(seen: Sequence[Seen]) -> dict[str, str]:
    found = {}
    for one in seen:
        figure = one.measures.figure if one.measures else None
        framing = framing_seen(figure) if figure and not one.item.is_class else None
        if framing:
            found[one.item.path] = framing
    return found


def _reads_repeats(one: Captioned) -> bool:
    return one.concept.subfolders in ("auto", "repeats") and not one.concept.metadata_file


def _not_looked_at(item: Item, error: UserError) -> Finding:
    return Finding(
        "picture-unreadable",
        "error",
        (item.path,),
        f"The picture cannot be read: {error.what}",
        "It cannot be trained on.",
        error.todo,
    )
