"""What an export is made of: one row for each option of kohya's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.fields import value_at
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WHOLE, WORDS
from lib_dreambooth.settings.schema import Run

# What "until stopped" becomes: an end that nobody waits for.
OPEN_EPOCHS = 9999
SIDES = {"sdxl": 1024, "sd2": 768}


@dataclass
class Context:
    """The run that is exported, for which script, and what has to be said about it."""

    run: Run
    script: str
    is_sdxl: bool
    notes: list[str] = field(default_factory=list)

    def at(self, path: str) -> Any:
        """A setting."""
        return value_at(self.run, path)

    @property
    def side(self) -> int:
        """The training side that "auto" stands for."""
        return 1024 if self.is_sdxl else SIDES.get(self.run.model.family, 512)

    def say(self, note: str) -> None:
        """Something that the user of the file should know."""
        if note not in self.notes:
            self.notes.append(note)


Value = Callable[[Context], Any]


@dataclass(frozen=True)
class Row:
    """One option: `value` gives None where it is not written; `paths` are the settings that it carries."""

    name: str
    paths: tuple[str, ...]
    value: Value
    scripts: tuple[str, ...] = (LORA, WHOLE, SDXL, WORDS)


def row(
    name: str, path: str, turn: Callable[[Any], Any] = lambda value: value, *, unless: Any = None, **more: Any
) -> Row:
    """An option that is one setting; not written where it has the value `unless`."""

    def value(context: Context) -> Any:
        found = turn(context.at(path))
        return None if found == unless or found == "" else found

    return Row(name, (path,), value, **more)


def flag(name: str, path: str, on: Any = True, **more: Any) -> Row:
    """A switch, written only where it is on."""
    return Row(name, (path,), lambda context: True if context.at(path) == on else None, **more)


def made(name: str, paths: str, value: Value, **more: Any) -> Row:
    """An option made of several settings, named with spaces between them."""
    return Row(name, tuple(paths.split()), value, **more)


def in_steps(context: Context, duration: Duration) -> int | None:
    """A duration in whole steps, None where it is in other units."""
    return max(1, round(duration.amount)) if duration.unit == "steps" else None


def share(context: Context, duration: Duration) -> float | None:
    """A duration as a part of the run, None where that is not known."""
    total = context.run.length.train_for
    if duration.unit == "percent":
        return duration.amount / 100
    if duration.unit == total.unit and total.amount:
        return min(1.0, duration.amount / total.amount)
    return None
