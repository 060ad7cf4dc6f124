"""A report as Markdown that any viewer shows, with charts as files beside it and pictures as links."""

from __future__ import annotations

import re
from urllib.parse import quote

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.jobs.report.document import Block, Chart, Document, Gallery, Picture, Table

# Only what makes a difference inside a line: dots and hyphens would make names hard to read.
INLINE = re.compile(r"([\\`*_\[\]<>|~$&])")
# At the beginning of a line these make lists and headings.
LEADING = re.compile(r"^(\s*)([#+\-=:>]|\d+[.)])")
ADDRESS = re.compile(r"(?i)\b(https?|ftp|www)(://|\.)")


def markdown(document: Document) -> str:
    """The text of the file, to be written as UTF-8."""
    parts = [f"# {escaped(document.title)}", paragraph(document.lead)]
    for section in document.sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block, document))]
    return "\n\n".join(parts) + "\n"


def chart_name(document: Document, chart: Chart) -> str:
    """What a chart's file is called."""
    return f"{document.stem}-{chart.name}.svg"


def escaped(text: str) -> str:
    """A text on one line in which nothing is a mark, a link or HTML."""
    shown = INLINE.sub(r"\\\1", visible_line(text))
    return ADDRESS.sub(lambda found: found[1] + found[2].replace(":", "\\:").replace(".", "\\."), shown)


def paragraph(text: str) -> str:
    """The same where the beginning of the line could be a mark too."""
    return LEADING.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", escaped(text))


def _block(block: Block, document: Document) -> str:
    if isinstance(block, str):
        return paragraph(block)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Chart):
        return f"![{escaped(block.title)}]({quote(chart_name(document, block))})"
    return _gallery(block)


def _table(table: Table) -> str:
    marks = ["--:" if column in table.numbers else "---" for column in range(len(table.head))]
    rows = [table.head, *table.rows]
    lines = [_row([escaped(text) for text in row]) for row in rows]
    title = [f"**{escaped(table.title)}**", ""] if table.title else []
    return "\n".join([*title, lines[0], _row(marks), *lines[1:]])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _gallery(gallery: Gallery) -> str:
    rows = [
        [escaped(title), *(_picture(picture) for picture in pictures)] for title, pictures in gallery.rows
    ]
    head = _row(["", *(escaped(text) for text in gallery.head)])
    return "\n".join([head, _row(["---"] * (len(gallery.head) + 1)), *(_row(row) for row in rows)])


def _picture(picture: Picture | None) -> str:
    return f"![]({quote(picture.link)})" if picture else ""
