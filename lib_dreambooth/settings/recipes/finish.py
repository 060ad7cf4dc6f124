"""From a filled sheet to a run that the schema accepts, and the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lib_dreambooth.base.durations import UNTIL_STOPPED
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.settings.contradictions import contradictions
from lib_dreambooth.settings.convert import shown
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import LISTS, field_at, value_at
from lib_dreambooth.settings.readiness import missing
from lib_dreambooth.settings.reading import Review, review_changes
from lib_dreambooth.settings.recipes.report import Line, Report, Silent
from lib_dreambooth.settings.recipes.sheet import Sheet, table_of
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced

# Each round takes at least one refused setting back; contradictions may follow each other.
MOST_ROUNDS = 50


@dataclass(frozen=True)
class Imported:
    """A run made from another tool's recipe, and what became of every key of that."""

    sourced: Sourced
    report: Report

    @property
    def run(self) -> Run:
        """The run itself."""
        return self.sourced.run


def finished(sheet: Sheet, name: str, read_as: str) -> Imported:
    """Makes the run; settings that the schema refuses are taken back and wait for a decision."""
    review = accepted(sheet, f"recipe {name}")
    run = review.sourced.run
    lines = tuple(replace(line, sets=told(run, line)) for line in sheet.lines.values())
    silent = tuple(
        Silent(option, dotted(path), shown_at(run, path))
        for option, path in sheet.silent
        if differs_from_default(run, path)
    )
    differences = tuple(
        sheet.difference(gap, tuple((dotted(path), shown_at(run, path)) for path in sets))
        for gap, sets in sheet.gaps
    )
    gaps = tuple(problem.sentence() for problem in missing(run))
    report = Report(name, read_as, sheet.as_run, lines, silent, differences, tuple(sheet.notes), gaps)
    return Imported(review.sourced, report)


def accepted(sheet: Sheet, source: str) -> Review:
    """The review of a sheet without problems."""
    mend_rhythms(sheet)
    for _ in range(MOST_ROUNDS):
        review = review_changes(changes(sheet.values), source=source)
        if not review.problems:
            return review
        for problem in review.problems:
            take_back(sheet, problem, review)
    raise SettingsError(list(review.problems))


def mend_rhythms(sheet: Sheet) -> None:
    """Without an end, shares of the run are no rhythm; files and previews then come with every epoch."""
    if sheet.values.get("length.train_for") == str(UNTIL_STOPPED):
        for path in ("saving.every", "previews.every"):
            sheet.put_if_silent("a run without an end", path, "1 epochs")


def take_back(sheet: Sheet, problem: UserError, review: Review) -> None:
    """Withdraws what a problem is about; where that was not set here, what it rests on, then its section."""
    why = f"{problem.what} {problem.todo} Its default stands in its place."
    run = review.sourced.run
    also = [p for c in contradictions(run, Facts()) if c.path == problem.where for p in c.also]
    section = problem.where.rsplit(".", 1)[0]
    for paths in ([problem.where], also, [path for path in sheet.values if path.startswith(f"{section}.")]):
        found = [path for path in paths if path in sheet.values]
        if found:
            sheet.withdraw(found, why)
            return
    sheet.withdraw(list(sheet.values), why)


def changes(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by path, the entries of lists gathered in their order."""
    flat: dict[str, Any] = {}
    lists: dict[str, dict[int, dict[str, Any]]] = {}
    for path, value in values.items():
        first, _, rest = path.partition(".")
        if first in LISTS:
            number, _, key = rest.partition(".")
            lists.setdefault(first, {}).setdefault(int(number), {})[key] = value
        else:
            flat[path] = value
    for name, entries in lists.items():
        # An entry of which nothing could be read keeps its place, so that the others keep their numbers.
        flat[name] = [entries.get(number, {}) for number in range(max(entries) + 1)]
    return flat


def told(run: Run, line: Line) -> tuple[tuple[str, str], ...]:
    """The settings of a line with the values they ended up with."""
    return tuple((dotted(path), shown_at(run, path)) for path, _ in line.sets)


def dotted(path: str) -> str:
    """A path as people write it."""
    return path.replace("#", ".")


def shown_at(run: Run, path: str) -> str:
    """The value at a path, or of one name in a table."""
    table, mark, name = path.partition("#")
    value = value_at(run, table)
    if mark:
        value = value[name]
    return shown(value)


def differs_from_default(run: Run, path: str) -> bool:
    """Whether a setting is other than it would be without the recipe."""
    field = field_at(table_of(path))
    return field is not None and value_at(run, table_of(path)) != field.default


def by_fate(lines: Iterable[Line]) -> dict[str, int]:
    """How many lines have each fate."""
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.fate.value] = counts.get(line.fate.value, 0) + 1
    return counts
