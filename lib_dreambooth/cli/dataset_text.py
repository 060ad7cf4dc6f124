"""What the command `dataset` says, for people and for programs."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.cli.output import Out
from lib_dreambooth.data.captions.preview import CaptionPreview, Shown
from lib_dreambooth.data.health.report import SEVERITIES, Report
from lib_dreambooth.data.item import Finding
from lib_dreambooth.jobs.looking import Looked
from lib_dreambooth.settings.length import plural

COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
# So many files a finding names, and so many tags, triggers and sizes the summary.
SHOWN_PATHS, SHOWN_TAGS, SHOWN_TRIGGERS, SHOWN_SIZES = 6, 20, 8, 8
WIDEST = 110
WRITTEN = ("txt", "caption", "json", "metadata")


def name_in(looked: Looked, path: str) -> str:
    """A file or folder as it is called inside the dataset."""
    for folder in looked.folders:
        if path.startswith(folder.rstrip("/\\") + os.sep):
            return visible_line(os.path.relpath(path, folder))
    return visible_line(Path(path).name)


def say(out: Out, looked: Looked, *, captions: bool, buckets: bool) -> None:
    """The summary, what was asked for, and the findings last, where they are seen."""
    for folder in looked.folders:
        out.line(out.paint(visible_line(folder), "bold"))
    out.line()
    for name, text in summary(looked):
        say_field(out, name, text)
    if buckets:
        out.line()
        say_buckets(out, looked)
    if captions:
        out.line()
        say_captions(out, looked)
    for finding in looked.report.findings:
        out.line()
        say_finding(out, looked, finding)
    out.line()
    out.line(verdict(looked.report))


def summary(looked: Looked) -> Iterable[tuple[str, str]]:
    """The dataset in a few lines."""
    report, run = looked.report, looked.dataset.run
    yield "Pictures", counts(looked)
    yield "Steps", looked.arithmetic
    sizes = [f"{size} {count}x" for size, count in ranked(report.buckets, SHOWN_SIZES)]
    hint = ""
    if looked.is_size_guessed:
        hint = f" (for {run.pictures.resolution.width} as SD 1.x; for SDXL add --model.family sdxl)"
    yield "Sizes", f"{', '.join(sizes)}{hint}"
    yield "Captions", caption_counts(looked)
    triggers = [f"{'+'.join(t.triggers)} {t.pictures}" for t in (*report.triggers, *report.pairs)]
    if triggers:
        yield "Triggers", visible_line(", ".join(triggers[:SHOWN_TRIGGERS])) + more(triggers, SHOWN_TRIGGERS)
    if set(report.framing) - {"unknown"}:
        yield "Framing", ", ".join(f"{name} {count}" for name, count in report.framing.items())
    if report.tags:
        tags = [f"{row.tag} {row.count}" for row in report.tags]
        yield "Tags", visible_line(", ".join(tags[:SHOWN_TAGS])) + more(tags, SHOWN_TAGS)


def counts(looked: Looked) -> str:
    """How many pictures there are, by what they are for."""
    report = looked.report
    parts = [f"{report.pictures:,} to train on"]
    if report.class_pictures:
        parts.append(f"{report.class_pictures:,} class pictures")
    if looked.dataset.validation:
        parts.append(f"{len(looked.dataset.validation):,} held back for measuring")
    unread = len({f.paths for f in report.findings if f.code == "picture-unreadable"})
    if unread:
        parts.append(f"{unread:,} cannot be read")
    return ", ".join(parts)


def caption_counts(looked: Looked) -> str:
    """How many captions there are, where the others are from, and how long they get."""
    origins: Counter[str] = Counter(item.caption.origin for item in looked.dataset.items if not item.is_class)
    written = sum(origins[origin] for origin in WRITTEN)
    parts = [f"{written:,} written"] if written else []
    for origin, words in (
        ("name", "from the file's name"),
        ("folder", "from the folder's name"),
        ("setting", "from the settings"),
        ("none", "none"),
    ):
        if origins[origin]:
            parts.append(f"{origins[origin]:,} {words}")
    longest = max((shown.tokens for one in looked.report.captions for shown in one.captions), default=0)
    limit = looked.dataset.run.captions.max_tokens
    return f"{', '.join(parts)}; the longest is {longest} {plural(longest, 'token')} of {limit}"


def ranked(table: dict[str, int], most: int) -> list[tuple[str, int]]:
    """The largest entries first."""
    return sorted(table.items(), key=lambda pair: -pair[1])[:most]


def more(values: Sequence[str], most: int) -> str:
    """Says how many were left out."""
    return f" and {len(values) - most} more" if len(values) > most else ""


def say_field(out: Out, name: str, text: str) -> None:
    """A line of the summary, wrapped under itself."""
    say_wrapped(out, text, f"{name:<10}", " " * 10)


def say_wrapped(out: Out, text: str, first: str, rest: str, colour: str = "") -> None:
    """Text in lines that fit, the first begun with `first`, which gets the colour."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    lines = textwrap.wrap(text, max(30, width - len(rest)), break_on_hyphens=False) or [""]
    out.line(f"{out.paint(first, colour)}{lines[0]}")
    for line in lines[1:]:
        out.line(f"{rest}{line}")


def say_finding(out: Out, looked: Looked, finding: Finding) -> None:
    """What is wrong, in which files, what it does, and what to do."""
    say_wrapped(
        out, visible_line(finding.what), f"{finding.severity.upper():<9}", " " * 9, COLOURS[finding.severity]
    )
    names = [name_in(looked, path) for path in finding.paths]
    if names:
        say_wrapped(out, ", ".join(names[:SHOWN_PATHS]) + more(names, SHOWN_PATHS), " " * 9, " " * 9)
    for label, text in (("Effect: ", finding.effect), ("To do: ", finding.todo)):
        if text:
            say_wrapped(out, f"{label}{visible_line(text)}", " " * 9, " " * 9)


def verdict(report: Report) -> str:
    """The last line."""
    found: Counter[str] = Counter(finding.severity for finding in report.findings)
    parts = [f"{found[kind]} {plural(found[kind], kind)}" for kind in SEVERITIES if found[kind]]
    return f"{', '.join(parts) or 'Nothing to complain about'}. Nothing was changed."


def say_captions(out: Out, looked: Looked) -> None:
    """Every picture's captions as the text encoder gets them, with their tokens."""
    out.line(out.paint("What each picture is trained on (tokens, caption)", "bold"))
    for one in looked.report.captions:
        out.line()
        kind = "  class picture" if one.is_class else ""
        out.line(f"{name_in(looked, one.path)}{kind}  <- {source_of(one, looked)}")
        for shown in one.captions:
            out.line(f"  {shown.tokens:>4}  {caption_text(out, shown)}")
        if not one.is_complete:
            out.line("        ... those are the first visits; others differ in order or parts")


def source_of(one: CaptionPreview, looked: Looked) -> str:
    """Where a caption comes from, as people say it."""
    words = {"none": "no caption", "name": "its file name", "setting": "the settings"}
    if one.source in words:
        return words[one.source]
    name = name_in(looked, one.source)
    return f"the folder {name}" if Path(one.source).is_dir() else name


def caption_text(out: Out, shown: Shown) -> str:
    """A caption, with what is cut off marked."""
    if not shown.text:
        return "(empty)"
    if not shown.lost:
        return visible_line(shown.text)
    kept = visible_line(shown.text.removesuffix(shown.lost))
    return f"{kept} {out.paint(f'[cut off: {visible_line(shown.lost).strip()}]', 'red')}"


def say_buckets(out: Out, looked: Looked) -> None:
    """Every picture's bucket, those first that lose most."""
    found = looked.dataset.bucket_report()
    out.line(out.paint("Buckets", "bold"))
    rows = [(f"{width}x{height}", f"{count:,} visits") for (width, height), count in found.visits.items()]
    out.table(rows, indent="  ")
    out.line()
    table = [("picture", "size", "bucket", "scale", "cut off")]
    for row in sorted(found.rows, key=lambda row: (-row.lost, row.path)):
        sides = zip(("left", "top", "right", "bottom"), row.cut_off, strict=True)
        parts = ", ".join(f"{name} {pixels}" for name, pixels in sides if pixels > 0)
        lost = f"{row.lost:.1%} ({parts}{'; moves' if row.moves else ''})" if parts else "nothing"
        size, bucket = f"{row.size[0]}x{row.size[1]}", f"{row.bucket[0]}x{row.bucket[1]}"
        table.append((name_in(looked, row.path), size, bucket, f"{row.scale:.2f}", lost))
    out.table(table, indent="  ")
