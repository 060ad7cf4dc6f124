"""What differs between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib_dreambooth.settings.convert import plain, shown
from lib_dreambooth.settings.fields import entries, label
from lib_dreambooth.settings.schema import Run

ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One setting that differs; a side is None in JSON and "-" in words where its entry does not exist."""

    path: str
    label: str
    before: Any
    after: Any

    def line(self) -> str:
        """For people."""
        return f"{self.path}: {side(self.before)} -> {side(self.after)}"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        before = None if self.before is ABSENT else plain(self.before)
        after = None if self.after is ABSENT else plain(self.after)
        return {"path": self.path, "label": self.label, "before": before, "after": after}


def side(value: Any) -> str:
    """One side of a change in words."""
    return "-" if value is ABSENT else shown(value)


def differences(before: Run, after: Run) -> list[Change]:
    """Every setting that differs, in the order of the schema."""
    old = {path: value for path, _, value in entries(before)}
    new = {path: value for path, _, value in entries(after)}
    paths = list(new) + [path for path in old if path not in new]
    return [
        Change(path, label(path), old.get(path, ABSENT), new.get(path, ABSENT))
        for path in paths
        if old.get(path, ABSENT) != new.get(path, ABSENT)
    ]
