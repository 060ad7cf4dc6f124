"""What a table of a tool's options is made of: one rule for each option."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.settings.convert import quoted
from lib_dreambooth.settings.recipes.here import find
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import Turn, Unreadable, switch, text

Rule = Callable[[Sheet, Entry], None]
Table = Mapping[str, Rule]

ALIKE_FROM = 0.75


def to(path: str, turn: Turn) -> Rule:
    """The same setting under another name."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        sheet.honour(entry, {path: turn(entry.value)})

    return rule


def told(path: str, turn: Turn, says: str) -> Rule:
    """A setting to the same end that works another way."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        sheet.differ(entry, {path: turn(entry.value)}, says)

    return rule


def flag(path: str, on: Any = True, off: Any = False) -> Rule:
    """A switch that stands for one of two values."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        sheet.honour(entry, {path: on if switch(entry.value) else off})

    return rule


def flag_on(path: str, on: Any, says: str = "") -> Rule:
    """A switch that only means something when it is on; `says` where it then works another way."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if not switch(entry.value):
            sheet.honour(entry)
        elif says:
            sheet.differ(entry, {path: on}, says)
        else:
            sheet.honour(entry, {path: on})

    return rule


def choice(path: str, names: Mapping[str, str]) -> Rule:
    """One of several names that are other ones here."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        name = text(entry.value).strip().lower()
        if name in names:
            sheet.honour(entry, {path: names[name]})
        else:
            sheet.ask(entry, f"{quoted(entry.value)} is not known here; {path} keeps its default.")

    return rule


def unused(why: str) -> Rule:
    """An option without a counterpart, with the reason; switched off it needs none."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if entry.value is False:
            sheet.honour(entry)
        else:
            sheet.unused(entry, why)

    return rule


def unused_all(names: str, why: str) -> dict[str, Rule]:
    """Several options without a counterpart for one reason."""
    return {name: unused(why) for name in names.split()}


def file_at(path: str, kind: str, *hash_names: str) -> Rule:
    """A file that has to be on this machine: a checkpoint, vae, lora, embedding, folder or file."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        place(sheet, entry, path, kind, [str(sheet.get(name, "")) for name in hash_names])

    return rule


def place(
    sheet: Sheet,
    entry: Entry,
    path: str,
    kind: str,
    hashes: Collection[str] = (),
    also: Mapping[str, Any] | None = None,
) -> None:
    """Settles a key that names a file or folder; `also` is set together with it."""
    name = text(entry.value)
    match = find(sheet.here, kind, name, list(hashes))
    sets = {path: match.path or name, **(also or {})}
    if match.how == "path":
        sheet.honour(entry, sets)
    elif match.how == "hash":
        sheet.differ(entry, sets, "the same file, known by its hash, is here under another path.")
    elif match.how == "name":
        sheet.differ(entry, sets, "a file of this name is here; its content could not be compared.")
    else:
        what = "folder" if kind == "folder" else f"{kind} file" if kind != "file" else "file"
        known = next((part for part in hashes if part), "")
        said = f" with hash {known}" if known else ""
        sheet.ask(entry, f"this {what}{said} is not on this machine. Choose {path}.", sets, match.offers)


@dataclass(frozen=True)
class Tool:
    """A program with its options; `more` finds the rules of names that are an open set."""

    name: str
    table: Table
    more: Callable[[str], Rule | None] = lambda name: None

    def rule(self, name: str) -> Rule | None:
        """The rule of an option."""
        return self.table.get(name) or self.more(name)

    def unknown(self, name: str) -> str:
        """The sentence for a key that the program has not."""
        last = name.rsplit(".", 1)[-1]
        near = difflib.get_close_matches(last, list(self.table), n=1, cutoff=ALIKE_FROM)
        meant = f" Is {near[0]} meant?" if near else ""
        return f"no option of {self.name} that is known here has this name.{meant}"


def apply(
    sheet: Sheet, tool: Tool, first: Callable[[Sheet, Entry], bool] = lambda sheet, entry: False
) -> None:
    """Settles every key that is not settled yet; `first` may do so before its rule."""
    for entry in list(sheet.entries.values()):
        if sheet.is_settled(entry):
            continue
        if entry.is_empty:
            sheet.honour(entry)
            continue
        before = len(sheet.lines)
        rule = tool.rule(entry.name)
        if not entry.name:
            sheet.ask(entry, "this is not written as name=value. Nothing was taken from it.")
            continue
        if rule is None:
            sheet.unused(entry, tool.unknown(entry.name))
            continue
        try:
            if not first(sheet, entry):
                rule(sheet, entry)
        except Unreadable as problem:
            sheet.ask(entry, f"the value {problem} Nothing was taken from it.")
        assert len(sheet.lines) == before + 1, (
            f"the rule of {entry.name} settles {len(sheet.lines) - before} keys"
        )
