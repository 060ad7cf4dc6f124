"""The report as one HTML file that needs nothing else: no script, no font, no address outside itself."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from lib_dreambooth.base.showing import visible
from lib_dreambooth.data.captions.preview import CaptionPreview
from lib_dreambooth.data.health.report import SEVERITIES, Report
from lib_dreambooth.data.item import Finding

# So many thumbnails a finding shows, and so many pictures and tags the tables below.
SHOWN_PER_FINDING = 24
SHOWN_PICTURES = 300
SHOWN_TAGS = 200

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
:root { --error: #c22; --warning: #a60; --note: #27c; }
@media (prefers-color-scheme: dark) { :root { --error: #f77; --warning: #fb4; --note: #7bf; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
section.finding { border-left: 4px solid var(--c); background: var(--soft); }
section.finding { margin: .8rem 0; padding: .5rem .9rem; }
.error { --c: var(--error); } .warning { --c: var(--warning); } .note { --c: var(--note); }
section.finding b.kind { color: var(--c); } p { margin: .2rem 0; }
ul.pictures { list-style: none; display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; margin: .5rem 0; }
ul.pictures li { width: 9rem; font-size: .8rem; overflow-wrap: anywhere; }
img { max-width: 9rem; max-height: 9rem; display: block; }
table { border-collapse: collapse; width: 100%; } th { text-align: start; }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .5rem; }
td, th { vertical-align: top; overflow-wrap: anywhere; }
td.number { text-align: end; white-space: nowrap; } s { color: var(--error); }
"""
KINDS = {"error": "Error", "warning": "Warning", "note": "Note"}


def page(report: Report, title: str = "Dataset") -> str:
    """The page's text, to be written as UTF-8."""
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Should a name ever get past the escaping, nothing it says may run or be fetched.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    parts = [
        f"<h1>{text(title)}</h1>",
        _summary(report),
        _findings(report),
        _captions(report),
        _tables(report),
    ]
    return head + "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"


def text(value: object) -> str:
    """Any text made harmless: signs of HTML, control and direction marks, broken surrogates."""
    return html.escape(visible(str(value)), quote=True)


def _summary(report: Report) -> str:
    counts = dict.fromkeys(SEVERITIES, 0)
    for finding in report.findings:
        counts[finding.severity] += 1
    words = ", ".join(f"{n} {KINDS[s].lower()}{'' if n == 1 else 's'}" for s, n in counts.items() if n)
    return (
        f"<p>{report.pictures} training pictures, {report.visits} visits an epoch, "
        f"{report.class_pictures} class pictures. {words or 'Nothing to complain about'}.</p>"
    )


def _findings(report: Report) -> str:
    return "\n".join(_finding(finding, report) for finding in report.findings)


def _finding(finding: Finding, report: Report) -> str:
    lines = [f'<p><b class="kind">{KINDS[finding.severity]}</b> {text(finding.what)}</p>']
    if finding.effect:
        lines.append(f"<p><b>In training:</b> {text(finding.effect)}</p>")
    if finding.todo:
        lines.append(f"<p><b>What to do:</b> {text(finding.todo)}</p>")
    if finding.paths:
        lines.append(_pictures(finding.paths, report))
    body = "\n".join(lines)
    return f'<section class="finding {finding.severity}" id="{text(finding.code)}">\n{body}\n</section>'


def _pictures(paths: Sequence[str], report: Report) -> str:
    shown = [_picture(path, report) for path in paths[:SHOWN_PER_FINDING]]
    if len(paths) > SHOWN_PER_FINDING:
        shown.append(f"<li>and {len(paths) - SHOWN_PER_FINDING} more</li>")
    return f'<ul class="pictures">{"".join(shown)}</ul>'


def _picture(path: str, report: Report) -> str:
    return f'<li title="{text(path)}">{_image(path, report)}<bdi>{text(PurePath(path).name)}</bdi></li>'


def _image(path: str, report: Report) -> str:
    source = report.thumbnails.get(path)
    return f'<img src="{text(source)}" alt="" loading="lazy">' if source else ""


def _captions(report: Report) -> str:
    if not report.captions:
        return ""
    rows = [_caption(one, report) for one in report.captions[:SHOWN_PICTURES]]
    head = "<tr><th>Picture</th><th>Trained on</th><th>Tokens</th></tr>"
    rest = len(report.captions) - SHOWN_PICTURES
    more = f"<p>and {rest} pictures more</p>" if rest > 0 else ""
    return f"<h2>What each picture is trained on</h2>\n<table>{head}{''.join(rows)}</table>{more}"


def _caption(one: CaptionPreview, report: Report) -> str:
    name = f"{_image(one.path, report)}<bdi>{text(PurePath(one.path).name)}</bdi>"
    shown = []
    for caption in one.captions:
        kept = caption.text.removesuffix(caption.lost) if caption.lost else caption.text
        lost = f"<s>{text(caption.lost)}</s>" if caption.lost else ""
        shown.append(f"<p><bdi>{text(kept) or '<i>(empty)</i>'}{lost}</bdi></p>")
    if not one.is_complete:
        shown.append("<p><i>and other orders or parts of it</i></p>")
    tokens = max((caption.tokens for caption in one.captions), default=0)
    return f'<tr><td>{name}</td><td>{"".join(shown)}</td><td class="number">{tokens}</td></tr>'


def _tables(report: Report) -> str:
    exposure = [*report.triggers, *report.pairs]
    parts = [
        _table(
            "Triggers",
            ("Trigger", "Pictures", "Visits an epoch"),
            ((" + ".join(row.triggers), row.pictures, row.visits) for row in exposure),
        ),
        _table("Framing", ("Shows", "Pictures"), report.framing.items()),
        _table("Buckets", ("Size", "Pictures"), report.buckets.items()),
        _table(
            "Tags",
            ("Tag", "Captions", "Of", "Kind"),
            ((row.tag, row.count, row.total, row.kind) for row in report.tags[:SHOWN_TAGS]),
        ),
    ]
    return "\n".join(part for part in parts if part)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["".join(_cell(value) for value in row) for row in rows]
    if not lines:
        return ""
    names = "".join(f"<th>{text(name)}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<h2>{text(title)}</h2>\n<table><tr>{names}</tr>{body}</table>"


def _cell(value: object) -> str:
    kind = ' class="number"' if isinstance(value, (int, float)) else ""
    return f"<td{kind}><bdi>{text(value)}</bdi></td>"
