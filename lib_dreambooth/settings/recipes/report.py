"""What became of every key of a recipe."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Fate(str, enum.Enum):
    """The four things that can become of a key; each key gets exactly one."""

    HONOURED = "honoured"
    DIFFERENTLY = "honoured differently"
    NEEDS_YOU = "needs you"
    NO_MEANING = "no meaning here"


@dataclass(frozen=True)
class Line:
    """One key: `sets` are the settings it decided, `offers` what is here in place of a missing file."""

    key: str
    value: str
    fate: Fate
    says: str = ""
    sets: tuple[tuple[str, str], ...] = ()
    offers: tuple[str, ...] = ()

    def text(self) -> str:
        """Key, value, settings and sentence in one line."""
        arrow = f" -> {listed(self.sets)}" if self.sets else ""
        says = f"{':' if arrow else ' ->'} {self.says}" if self.says else ""
        offers = f" Here are: {', '.join(self.offers)}." if self.offers else ""
        return f"{self.key} = {self.value}{arrow}{says}{offers}"


@dataclass(frozen=True)
class Silent:
    """What the tool does where the file says nothing."""

    option: str
    path: str
    value: str

    def text(self) -> str:
        return f"{self.path} = {self.value} ({self.option})"


@dataclass(frozen=True)
class Difference:
    """Where what the tool did and what its author meant are not the same.

    `sets` is what was taken, `otherwise` what the other way would have set.
    """

    topic: str
    tool: str
    meant: str
    as_run: bool
    sets: tuple[tuple[str, str], ...] = ()
    otherwise: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        taken = f" Taken: {listed(self.sets)}." if self.sets else ""
        other = (
            f" As {'meant' if self.as_run else 'run'}: {listed(self.otherwise)}." if self.otherwise else ""
        )
        return f"{self.topic}: the tool: {self.tool} Meant: {self.meant}{taken}{other}"


def listed(sets: tuple[tuple[str, str], ...]) -> str:
    """Settings with values in one line."""
    return ", ".join(f"{path} = {value}" for path, value in sets)


@dataclass(frozen=True)
class Report:
    """Everything that an import has to say, in a stable order."""

    recipe: str
    read_as: str
    as_run: bool
    lines: tuple[Line, ...]
    silent: tuple[Silent, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def of(self, fate: Fate) -> tuple[Line, ...]:
        """The lines with one fate, in the order of the file."""
        return tuple(line for line in self.lines if line.fate is fate)

    def line(self, key: str) -> Line:
        """The line of a key; raises KeyError."""
        for line in self.lines:
            if line.key == key:
                return line
        raise KeyError(key)

    def text(self) -> str:
        """The whole report for people."""
        return "\n".join(text_lines(self)) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The form of the API and `--json`."""
        return {
            "recipe": self.recipe,
            "read_as": self.read_as,
            "as_run": self.as_run,
            "notes": list(self.notes),
            "keys": [
                {
                    "key": line.key,
                    "value": line.value,
                    "fate": line.fate.value,
                    "sets": dict(line.sets),
                    "says": line.says,
                    "offers": list(line.offers),
                }
                for line in self.lines
            ],
            "silent": [{"option": s.option, "path": s.path, "value": s.value} for s in self.silent],
            "differences": [
                {
                    "topic": d.topic,
                    "tool": d.tool,
                    "meant": d.meant,
                    "sets": dict(d.sets),
                    "otherwise": dict(d.otherwise),
                }
                for d in self.differences
            ],
            "missing": list(self.missing),
        }


def text_lines(report: Report) -> Iterator[str]:
    """The report, line by line; keys that were empty are only named."""
    yield f"{report.recipe}: {report.read_as}"
    yield f"Taken {'as it was run' if report.as_run else 'as it was meant'}."
    for note in report.notes:
        yield f"Note: {note}"
    empty = []
    for fate in Fate:
        lines = report.of(fate)
        shown = [line for line in lines if line.sets or line.says or fate is not Fate.HONOURED]
        empty += [line.key for line in lines if line not in shown]
        if shown:
            yield ""
            yield f"{fate.value.capitalize()} ({len(shown)})"
            yield from (f"  {line.text()}" for line in shown)
    if empty:
        yield ""
        yield f"Empty, or as when left out ({len(empty)})"
        yield f"  {', '.join(empty)}"
    if report.silent:
        yield ""
        yield f"Not in the file, so as the tool does it ({len(report.silent)})"
        yield from (f"  {silent.text()}" for silent in report.silent)
    if report.differences:
        yield ""
        yield f"What the tool did and what was meant ({len(report.differences)})"
        yield from (f"  {difference.text()}" for difference in report.differences)
    if report.missing:
        yield ""
        yield f"Still needed before training ({len(report.missing)})"
        yield from (f"  {sentence}" for sentence in report.missing)
