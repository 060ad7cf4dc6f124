"""The sheet an import is written on: keys in, settings and one line for every key out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth.settings.convert import quoted, shown
from lib_dreambooth.settings.recipes.here import Here
from lib_dreambooth.settings.recipes.report import Difference, Fate, Line

# Parts of names whose values are nobody's business.
SECRET = ("huggingface_token", "hub_token", "model_token", "api_key", "webhook", "password")
HIDDEN = "(hidden)"


AS_GIVEN = object()


@dataclass(frozen=True)
class Entry:
    """One key of a recipe: `key` as the file has it, `name` what the tables call it.

    `written` is the value as the file has it, where `value` is already what the tool makes of it.
    """

    key: str
    name: str
    value: Any
    written: Any = AS_GIVEN

    @property
    def is_empty(self) -> bool:
        """Whether the tool takes it as not given."""
        return is_empty(self.value)

    @property
    def shown(self) -> str:
        """The value for the report."""
        names = f"{self.key} {self.name}".lower()
        if any(part in names for part in SECRET) and not self.is_empty:
            return HIDDEN
        return quoted(self.value if self.written is AS_GIVEN else self.written)


@dataclass
class Gap:
    """A difference between tool and meaning, with what either way sets."""

    topic: str
    tool: str
    meant: str
    run_sets: Mapping[str, Any] = field(default_factory=dict)
    meant_sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Sheet:
    """An import under way. Rules read other keys with `get` and settle their own one."""

    as_run: bool
    here: Here
    # The script of kohya's that the recipe is for: lora, whole, sdxl or words; other tools leave it empty.
    script: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    # What is known beside the keys, under names as in the tables.
    assumed: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    settled: list[Entry] = field(default_factory=list)
    gaps: list[tuple[Gap, tuple[str, ...]]] = field(default_factory=list)
    silent: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Settings that this kind of file never tells; they stay as this program has them.
    unrecorded: frozenset[str] = frozenset()

    def add(self, entries: Iterable[Entry]) -> None:
        """Takes keys in; of two with the same name the later one counts."""
        for entry in entries:
            earlier = self.entries.pop(entry.name, None) if entry.name else None
            if earlier is not None:
                self.unused(earlier, f"named again as {entry.key}; the last one counts.")
            self.entries[entry.name or f"?{entry.key}"] = entry

    def get(self, name: str, default: Any = None) -> Any:
        """The value of another key; `default` where it is left out or empty."""
        entry = self.entries.get(name)
        value = self.assumed.get(name) if entry is None or entry.is_empty else entry.value
        return default if is_empty(value) else value

    def given(self, name: str) -> bool:
        """Whether a key has a value."""
        return self.get(name) is not None

    def number(self, name: str) -> float | None:
        """Another key's value as a number, None where it is none."""
        value = self.get(name)
        if isinstance(value, bool):
            return None
        try:
            found = float(value) if isinstance(value, (int, float, str)) else math.nan
        except (ValueError, OverflowError):
            return None
        return found if math.isfinite(found) else None

    def is_on(self, name: str) -> bool:
        """Whether another key is a switch that is on."""
        value = self.get(name, False)
        return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1", "yes"))

    def honour(self, entry: Entry, sets: Mapping[str, Any] | None = None, says: str = "") -> None:
        """The key does here what it did there."""
        self.settle(entry, Fate.HONOURED, says, sets or {})

    def differ(self, entry: Entry, sets: Mapping[str, Any] | None, says: str) -> None:
        """The key does here something else to the same end."""
        self.settle(entry, Fate.DIFFERENTLY, says, sets or {})

    def ask(
        self, entry: Entry, says: str, sets: Mapping[str, Any] | None = None, offers: Iterable[str] = ()
    ) -> None:
        """The key waits for a decision."""
        self.settle(entry, Fate.NEEDS_YOU, says, sets or {}, tuple(offers))

    def unused(self, entry: Entry, why: str) -> None:
        """The key has no meaning here."""
        self.settle(entry, Fate.NO_MEANING, why, {})

    def settle(
        self, entry: Entry, fate: Fate, says: str, sets: Mapping[str, Any], offers: tuple[str, ...] = ()
    ) -> None:
        for path, value in sets.items():
            self.put(path, value)
        key, count = entry.key, 1
        while key in self.lines:
            # "a.b" at the top and b in [a] look alike; each gets its line.
            count += 1
            key = f"{entry.key} ({count})"
        # The values themselves are put in when the run is made.
        self.lines[key] = Line(key, entry.shown, fate, says, tuple((path, "") for path in sets), offers)
        self.settled.append(entry)

    def is_settled(self, entry: Entry) -> bool:
        """Whether a key has its line already."""
        return any(known is entry for known in self.settled)

    def put(self, path: str, value: Any) -> None:
        """One setting; `path#name` is one name in a table."""
        table, mark, name = path.partition("#")
        self.values[table] = {**self.values.get(table, {}), name: value} if mark else value

    def has(self, path: str) -> bool:
        """Whether a setting, or a name in a table, was decided."""
        table, mark, name = path.partition("#")
        return table in self.values and (not mark or name in self.values[table])

    def fill(self, option: str, path: str, value: Any) -> None:
        """What the tool does where the file is silent; settings that a key decided stay."""
        if path not in self.unrecorded:
            self.put_if_silent(option, path, value)

    def put_if_silent(self, option: str, path: str, value: Any) -> None:
        """The same also for what this kind of file never tells."""
        if not self.has(path):
            self.put(path, value)
            self.silent.append((option, path))

    def gap(self, gap: Gap) -> None:
        """Notes a difference and takes one of its sides."""
        sets = gap.run_sets if self.as_run else gap.meant_sets
        for path, value in sets.items():
            self.put(path, value)
        self.gaps.append((gap, tuple(sets)))

    def withdraw(self, paths: Iterable[str], why: str) -> None:
        """Takes settings back that the schema refuses; their keys need a decision."""
        gone = set(paths)
        for path in gone:
            self.values.pop(path, None)
        self.silent = [(option, path) for option, path in self.silent if table_of(path) not in gone]
        self.gaps = [(gap, tuple(p for p in sets if table_of(p) not in gone)) for gap, sets in self.gaps]
        for key, line in self.lines.items():
            left = tuple((path, value) for path, value in line.sets if table_of(path) not in gone)
            if left != line.sets:
                self.lines[key] = Line(key, line.value, Fate.NEEDS_YOU, why, left)

    def difference(self, gap: Gap, sets: tuple[tuple[str, str], ...]) -> Difference:
        """A gap as the report shows it, with what the other way would set."""
        other = gap.meant_sets if self.as_run else gap.run_sets
        return Difference(
            gap.topic,
            gap.tool,
            gap.meant,
            self.as_run,
            sets,
            tuple((path, shown_raw(other[path])) for path in other),
        )


def shown_raw(value: Any) -> str:
    """A value that the schema has not read."""
    return shown(tuple(value) if isinstance(value, list) else value)


def table_of(path: str) -> str:
    """The setting that a path lies in, without the name in a table."""
    return path.partition("#")[0]


def is_empty(value: Any) -> bool:
    """Whether a tool takes a value as not given."""
    return value is None or (isinstance(value, str) and value in ("", "None")) or value == []
