"""What a model folder holds of one run: card, settings and log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.jobs.report.parts import Part, cut, lineage_of
from lib_dreambooth.runs.events import (
    CANCELLED,
    DISCARDED,
    DONE,
    FAILED,
    Finished,
    Started,
)
from lib_dreambooth.runs.folder import ModelCard, ModelFolder
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.files import load_text, review_text
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.privacy import name_only, without_paths

OUTCOMES = {
    DONE: "done",
    CANCELLED: "cancelled",
    DISCARDED: "cancelled without saving",
    FAILED: "failed",
}
INTERRUPTED = "interrupted: the log ends without an end of the run"


@dataclass(frozen=True)
class Story:
    """A run's parts with what was found around them; `sourced` is None where its settings cannot be read."""

    folder: ModelFolder
    card: ModelCard | None
    sourced: Sourced | None
    parts: tuple[Part, ...]
    stem: str

    @property
    def started(self) -> Started | None:
        """The latest start."""
        return next((part.started for part in reversed(self.parts) if part.started), None)

    @property
    def family(self) -> str:
        told = self.started.facts.get("family", "") if self.started else ""
        return told or (self.card.family if self.card else "")


def story_of(folder: ModelFolder, lineage: str = "") -> Story:
    """Everything about the run that a start belongs to, the last one if none is named; raises FileError."""
    parts = lineage_of(cut(read_events(folder.events_path)), lineage)
    if not parts:
        raise FileError(
            "the log knows no such run." if lineage else "nothing was trained here yet.",
            where=folder.name,
            todo="Look at the model's history.",
            code="no-such-run",
        )
    try:
        card = folder.card()
    except UserError:
        card = None
    starts = [part.started for part in parts if part.started]
    copies = (
        [starts[0].settings_file] if starts else sorted(path.name for path in folder.history_dir.glob("*"))
    )
    stem = name_only(copies[-1]).removesuffix(".toml") if copies else ""
    return Story(folder, card, _settings(folder, starts), tuple(parts), stem or "report")


def _settings(folder: ModelFolder, starts: Sequence[Started]) -> Sourced | None:
    """The settings of the latest start, or those last used."""
    copy = starts[-1].settings_file if starts else ""
    for path in (folder.path / copy, folder.settings_path) if copy else (folder.settings_path,):
        try:
            return review_text(load_text(path), path.name).sourced
        except UserError:
            continue
    return None


def ending(part: Part) -> str:
    """How a part ended, in words."""
    end = part.finished
    if end is None:
        return INTERRUPTED
    outcome = OUTCOMES.get(end.outcome, end.outcome)
    return f"{outcome}: {_scrubbed(end)}" if end.what else outcome


def _scrubbed(end: Finished) -> str:
    text = " ".join(part for part in (end.where and f"{end.where}:", end.what, end.todo) if part)
    return without_paths(text).rstrip(".")
