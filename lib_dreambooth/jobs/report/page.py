"""A report as one HTML file: no script, nothing fetched; small pictures lie in it, large ones are links."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from urllib.parse import quote

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.jobs.report import svg
from lib_dreambooth.jobs.report.document import Block, Chart, Document, Gallery, Picture, Section, Table

STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --soft: #666; --line: #ddd; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6e6e8; --paper: #18191b; --soft: #a0a0a6; --line: #3a3b3f; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1.2rem 3rem; }
body { color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: .6rem 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.lead { font-size: 1.05rem; color: var(--soft); margin: .2rem 0 1rem; }
h3 { font-size: .95rem; margin: 1.2rem 0 .2rem; font-weight: 600; }
table { border-collapse: collapse; margin: .5rem 0; } .wide { overflow-x: auto; }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .7rem .3rem 0; text-align: start; }
td, th { vertical-align: top; } td { min-width: 4.6rem; } th { white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: .87rem; }
td.n, th.n { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums; padding-left: .7rem; }
td:first-child { min-width: 7rem; } details { margin: .6rem 0; } summary { cursor: pointer; }
summary { color: var(--soft); } svg.chart { width: 100%; height: auto; display: block; }
table.gallery td, table.gallery th { padding: .3rem .4rem .3rem 0; border: 0; text-align: start; }
table.gallery td:first-child { width: 9rem; min-width: 7rem; font-size: .87rem; }
table.gallery { width: 100%; } table.gallery img { width: 100%; min-width: 5.5rem; max-width: 17rem; }
table.gallery img { display: block; border-radius: 4px; }
"""
SECURITY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

Shown = Callable[[Picture], str]


def page(document: Document, shown: Shown) -> str:
    """The page's text, to be written as UTF-8. `shown` gives a picture in small as a data address."""
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Should a text ever get past the escaping, nothing it says may run or be fetched.
        f'<meta http-equiv="Content-Security-Policy" content="{SECURITY}">\n'
        f"<title>{text(document.title)}</title>\n<style>{STYLE}{svg.STYLE}</style>\n</head>\n<body>\n"
    )
    parts = [f"<h1>{text(document.title)}</h1>", f'<p class="lead">{text(document.lead)}</p>']
    parts += [_section(section, shown) for section in document.sections]
    return head + "\n".join(parts) + "\n</body>\n</html>\n"


def text(value: str) -> str:
    """Any text made harmless: signs of HTML, control and direction marks, broken surrogates."""
    return html.escape(visible_line(value), quote=True)


def _section(section: Section, shown: Shown) -> str:
    blocks = "\n".join(_block(block, shown) for block in section.blocks)
    return f"<section>\n<h2>{text(section.title)}</h2>\n{blocks}\n</section>"


def _block(block: Block, shown: Shown) -> str:
    if isinstance(block, str):
        return f"<p>{text(block)}</p>"
    if isinstance(block, Chart):
        return f"<h3>{text(block.title)}</h3>\n{svg.drawn(block)}"
    if isinstance(block, Gallery):
        return _gallery(block, shown)
    if not block.title:
        return _table(block)
    return f"<details><summary>{text(block.title)}</summary>\n{_table(block)}\n</details>"


def _table(table: Table) -> str:
    head = _row(table.head, "th", table) if any(table.head) else ""
    rows = "\n".join(_row(row, "td", table) for row in table.rows)
    return f'<div class="wide"><table>\n{head}\n{rows}\n</table></div>'


def _row(cells: Sequence[str], kind: str, table: Table) -> str:
    shown = "".join(
        f"<{kind}{_class(column, table)}><bdi>{text(cell)}</bdi></{kind}>"
        for column, cell in enumerate(cells)
    )
    return f"<tr>{shown}</tr>"


def _class(column: int, table: Table) -> str:
    return ' class="n"' if column in table.numbers else ""


def _gallery(gallery: Gallery, shown: Shown) -> str:
    head = "".join(f"<th>{text(title)}</th>" for title in ("", *gallery.head))
    rows = "\n".join(
        f"<tr><td><bdi>{text(title)}</bdi></td>{''.join(_picture(one, shown) for one in pictures)}</tr>"
        for title, pictures in gallery.rows
    )
    return f'<div class="wide"><table class="gallery">\n<tr>{head}</tr>\n{rows}\n</table></div>'


def _picture(picture: Picture | None, shown: Shown) -> str:
    if picture is None:
        return "<td></td>"
    address = shown(picture)
    inside = f'<img src="{text(address)}" alt="">' if address else "picture"
    return f'<td><a href="{text(quote(picture.link))}">{inside}</a></td>'
