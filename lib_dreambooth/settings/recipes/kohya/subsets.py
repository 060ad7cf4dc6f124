"""Subsets of pictures with settings of their own: what all share goes to the run, the rest to concepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lib_dreambooth.settings.convert import plain, quoted
from lib_dreambooth.settings.fields import fields_by_path
from lib_dreambooth.settings.recipes.kohya.datasets import class_concept
from lib_dreambooth.settings.recipes.kohya.strict import DATASET, INHERITED
from lib_dreambooth.settings.recipes.kohya.table import KOHYA
from lib_dreambooth.settings.recipes.report import Fate
from lib_dreambooth.settings.recipes.rules import place
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, loose_text, switch, whole

# Names that differ between the dataset file and the command line.
COMMAND_NAMES = {"batch_size": "train_batch_size", "num_repeats": "dataset_repeats"}
INHERITABLE = frozenset(DATASET) | frozenset(INHERITED)
# Where kohya's own default is not the schema's.
TOOL_DEFAULTS: dict[str, Any] = {"captions.keep_tokens": 0, "pictures.buckets": False}


@dataclass(frozen=True)
class Subset:
    """One folder: its own keys, then those it inherits, nearest first."""

    number: int
    levels: tuple[Mapping[str, Entry], ...]

    def entry(self, name: str) -> Entry | None:
        """The key that decides an option for this subset."""
        for level in self.levels:
            found = level.get(name)
            if found is not None and not found.is_empty:
                return found
        return None


@dataclass
class Wish:
    """What one key wants: settings for the subsets that listen to it."""

    entry: Entry
    listeners: list[int]
    sets: dict[str, Any] = field(default_factory=dict)
    fate: Fate = Fate.HONOURED
    says: str = ""
    gaps: list[Gap] = field(default_factory=list)


def settle_subsets(sheet: Sheet, subsets: Sequence[Subset]) -> None:
    """Settles every key of all levels."""
    wishes = []
    for name, entries in keys_by_name(subsets).items():
        for entry in entries:
            listeners = [subset.number for subset in subsets if subset.entry(name) is entry]
            if entry.is_empty:
                sheet.honour(entry)
            elif not listeners:
                sheet.unused(entry, "every subset says something else.")
            elif name in OWN:
                own(sheet, entry, name, listeners)
            else:
                wishes.append(wish(sheet, Wish(entry, listeners)))
    landed = land(sheet, wishes, len(subsets))
    for found in wishes:
        settle_wish(sheet, found, landed)


def keys_by_name(subsets: Sequence[Subset]) -> dict[str, list[Entry]]:
    """Every key of every level once, by its name; own keys of subsets come first."""
    found: dict[str, dict[str, Entry]] = {}
    for subset in subsets:
        for level in subset.levels:
            for name, entry in level.items():
                found.setdefault(name, {})[entry.key] = entry
    order = sorted(found, key=lambda name: name not in OWN)
    return {name: list(found[name].values()) for name in order}


def wish(sheet: Sheet, found: Wish) -> Wish:
    """What a key wants, told by the rule that the option has on the command line."""
    scratch = Sheet(sheet.as_run, sheet.here, sheet.script)
    entry = found.entry
    rule = KOHYA.get(entry.name)
    if rule is None:
        scratch.unused(entry, "it is no option of a dataset that is known here.")
    else:
        try:
            rule(scratch, entry)
        except Unreadable as problem:
            scratch.ask(entry, f"the value {problem} Nothing was taken from it.")
    line = next(iter(scratch.lines.values()))
    found.sets, found.fate, found.says = scratch.values, line.fate, line.says
    found.gaps = [gap for gap, _ in scratch.gaps]
    return found


def land(sheet: Sheet, wishes: Sequence[Wish], count: int) -> dict[tuple[str, int], str]:
    """Puts every wish where it can be heard: one setting for the run, or one for a concept."""
    wanted: dict[str, dict[int, Any]] = {}
    for found in wishes:
        for path, value in found.sets.items():
            wanted.setdefault(path, {}).update(dict.fromkeys(found.listeners, value))
    landed: dict[tuple[str, int], str] = {}
    for path, values in wanted.items():
        every = [values.get(number, default_of(path)) for number in range(count)]
        per_concept = fields_by_path()[path].option.per_concept
        # What cannot differ takes the first value that anyone asks for.
        common = every[0] if per_concept else next(iter(values.values()))
        sheet.put(path, common)
        for number, value in enumerate(every):
            if value == common:
                landed[path, number] = path
            elif per_concept:
                place_name = f"concepts.{number}.override#{path}"
                sheet.put(place_name, value)
                landed[path, number] = place_name
    return landed


def default_of(path: str) -> Any:
    """What the tool takes where a subset says nothing."""
    return TOOL_DEFAULTS.get(path, plain(fields_by_path()[path].default))


def settle_wish(sheet: Sheet, found: Wish, landed: Mapping[tuple[str, int], str]) -> None:
    """Settles one key by where its wishes landed."""
    places = {landed.get((path, number)) for path in found.sets for number in found.listeners}
    sets = {path: read_back(sheet, path) for path in sorted(path for path in places if path)}
    if None in places:
        sets = {path: read_back(sheet, path) for path in found.sets}
        sheet.settle(found.entry, Fate.DIFFERENTLY, "one value counts for all pictures here.", sets)
        return
    for gap in found.gaps:
        sheet.gaps.append((gap, tuple(sets)))
    sheet.settle(found.entry, found.fate, found.says, sets)


def read_back(sheet: Sheet, path: str) -> Any:
    """What was put at a path."""
    table, mark, name = path.partition("#")
    return sheet.values[table][name] if mark else sheet.values[table]


def own(sheet: Sheet, entry: Entry, name: str, listeners: Sequence[int]) -> None:
    """Settles a key that belongs to concepts rather than to how pictures are treated."""
    try:
        OWN[name](sheet, entry, listeners)
    except Unreadable as problem:
        sheet.ask(entry, f"the value {problem} Nothing was taken from it.")


def picture_folder(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """image_dir: the pictures right inside it."""
    number = listeners[0]
    also = {f"concepts.{number}.subfolders": "ignore"}
    place(sheet, entry, f"concepts.{number}.folder", "folder", also=also)


def repeats(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """num_repeats."""
    count = whole(entry.value)
    sheet.honour(entry, {f"concepts.{number}.repeats": count for number in listeners})


def without_caption(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """class_tokens: the caption of pictures that have none."""
    words = loose_text(entry.value)
    sheet.honour(entry, {f"concepts.{number}.fallback": words for number in listeners})


def is_class(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """is_reg."""
    if not switch(entry.value):
        sheet.honour(entry)
        return
    sets: dict[str, Any] = {}
    for number in listeners:
        sets |= class_concept(number)
    sheet.honour(entry, sets)


def metadata_file(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """metadata_file of a subset."""
    place(sheet, entry, f"concepts.{listeners[0]}.metadata_file", "file")


def mask_folder(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """conditioning_data_dir of a subset."""
    place(sheet, entry, f"concepts.{listeners[0]}.mask_folder", "folder")


def attributes(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """custom_attributes: one of them is read by the trainers."""
    table = entry.value if isinstance(entry.value, Mapping) else {}
    others = [str(name) for name in table if name != "diff_output_preservation"]
    left = f" Not read by any trainer: {', '.join(others)}." if others else ""
    if table.get("diff_output_preservation") is True:
        sets = {f"concepts.{number}.target": "base" for number in listeners}
        sheet.settle(entry, Fate.HONOURED, left.strip(), sets)
    else:
        sheet.unused(entry, f"only diff_output_preservation is read by the trainers.{left}")


def concept_name(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """The name of a subset."""
    sheet.honour(entry, {f"concepts.{listeners[0]}.name": loose_text(entry.value)})


def multiplier(sheet: Sheet, entry: Entry, listeners: Sequence[int]) -> None:
    """network_multiplier."""
    if entry.value in (1, 1.0):
        sheet.honour(entry)
    else:
        sheet.unused(
            entry, f"a network is trained at full strength for all pictures, not at {quoted(entry.value)}."
        )


OWN: dict[str, Callable[[Sheet, Entry, Sequence[int]], None]] = {
    "image_dir": picture_folder,
    "is_reg": is_class,
    "num_repeats": repeats,
    "class_tokens": without_caption,
    "metadata_file": metadata_file,
    "conditioning_data_dir": mask_folder,
    "custom_attributes": attributes,
    "network_multiplier": multiplier,
    "name": concept_name,
}


def subsets_of(data: Mapping[str, Any], prefix: str, config: Mapping[str, Entry]) -> Iterator[Subset]:
    """The subsets of a dataset file, each with the levels it inherits from."""
    general = level(data.get("general", {}), f"{prefix}general.")
    count = 0
    for number, dataset in enumerate(data.get("datasets", [])):
        here = f"{prefix}datasets[{number}]."
        own_keys = level({key: value for key, value in dataset.items() if key != "subsets"}, here)
        for place_number, subset in enumerate(dataset.get("subsets", [])):
            keys = level(subset, f"{here}subsets[{place_number}].")
            yield Subset(count, (keys, own_keys, general, config))
            count += 1


def level(
    table: Mapping[str, Any], prefix: str, renames: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Entry]:
    """The keys of one level by their names in dataset files."""
    found = {}
    for key, value in table.items():
        name = renames.get(str(key), str(key))
        found[name] = Entry(f"{prefix}{key}", COMMAND_NAMES.get(name, name), value)
    return found


def config_level(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Options of the config itself that subsets inherit where the dataset file says nothing."""
    names = {command: name for name, command in COMMAND_NAMES.items()}
    found = {names.get(entry.name, entry.name): entry for entry in entries}
    return {name: entry for name, entry in found.items() if name in INHERITABLE}
