"""A report before it is Markdown or HTML: plain words and numbers, nothing escaped yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """Rows of texts; the columns in `numbers` are set to the right. One with a title may be folded away."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    title: str = ""


@dataclass(frozen=True)
class Line:
    """One curve by step; `is_faint` for what another one shows smoothed."""

    name: str
    points: tuple[tuple[int, float], ...]
    is_faint: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves from step 0 to `last_step`; `marks` are steps after which a run was gone on with."""

    name: str
    title: str
    lines: tuple[Line, ...]
    last_step: int
    marks: tuple[int, ...] = ()
    from_zero: bool = False


@dataclass(frozen=True)
class Picture:
    """A preview: its file, and how the report's folder reaches it, with slashes."""

    path: Path
    link: str


@dataclass(frozen=True)
class Gallery:
    """Pictures by prompt (rows) and step (columns); None where there is none."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture | None, ...]], ...]


Block = str | Table | Chart | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """All of a report; `stem` is what its files are called."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    stem: str

    def charts(self) -> list[Chart]:
        """Every chart, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Chart)]
