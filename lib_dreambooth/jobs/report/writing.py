"""Writes the report of a run; it can be made at any time, also of a run that was killed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.files import write_bytes, write_text
from lib_dreambooth.jobs.report import curves, svg
from lib_dreambooth.jobs.report.board import board_text
from lib_dreambooth.jobs.report.board_words import LANGUAGES
from lib_dreambooth.jobs.report.gathering import document_of
from lib_dreambooth.jobs.report.markdown import chart_name, markdown
from lib_dreambooth.jobs.report.page import page
from lib_dreambooth.jobs.report.previews import small
from lib_dreambooth.jobs.report.story import story_of
from lib_dreambooth.runs.events import Step, Validated
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.training.logs.points import points


def write_report(folder: ModelFolder, lineage: str = "") -> tuple[Path, Path]:
    """Writes a run's report into the model folder and gives its Markdown and its HTML file.

    `lineage` is the id of any start of the run (`Started.run_id`), the last one if empty; what that start
    went on from is part of the report. A report that was written of the same run before is replaced.
    Raises FileError where there is no such run or nothing can be written.
    """
    story = story_of(folder, lineage)
    document = document_of(story)
    place = folder.report_dir
    for chart in document.charts():
        write_text(place / chart_name(document, chart), svg.drawn(chart, alone=True))
    events: list[Step | Validated] = [*curves.steps_of(story.parts), *curves.validations_of(story.parts)]
    write_bytes(place / f"{document.stem}-curves.csv", table_of_points(events))
    text, html = place / f"{document.stem}.md", place / f"{document.stem}.html"
    for language in LANGUAGES:
        write_text(place / f"{document.stem}-board-{language}.txt", board_text(story, language))
    write_text(text, markdown(document))
    write_text(html, page(document, lambda picture: small(picture.path)))
    return text, html


def table_of_points(events: Sequence[Step | Validated]) -> bytes:
    """Every point of every curve as CSV for spreadsheets, a row for each step."""
    rows: dict[int, dict[str, float]] = {}
    for event in events:
        rows.setdefault(event.step, {}).update(points(event))
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["step", *names])
    for step in sorted(rows):
        writer.writerow([step, *(rows[step].get(name, "") for name in names)])
    # With a mark by which spreadsheets know UTF-8.
    return text.getvalue().encode("utf-8-sig")
