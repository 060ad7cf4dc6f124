"""Presets of the user's own: kept, renamed, written over, taken away."""

from __future__ import annotations

import re
from pathlib import Path

import tomlkit

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import all_groups, value_at
from lib_dreambooth.settings.files import load_text
from lib_dreambooth.settings.preset import SHIPPED, Preset, listed
from lib_dreambooth.settings.renames import VERSION
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.toml_text import toml_string, toml_value

# Settings that belong to one subject, one place or one machine: a user's own preset leaves them out.
PERSONAL_SECTIONS = ("concepts", "words", "metadata", "logging")
PERSONAL = (
    "model.base",
    "model.vae",
    "network.start_from",
    "saving.folder",
    "previews.prompts",
    "previews.file",
)
BAD_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')
LONGEST_NAME = 80


def find(own_folder: Path, name: str) -> Preset:
    """A preset of the user's own by its name or file name; raises UserError, also for shipped ones."""
    wanted = name.strip().casefold()
    presets = [one for one in listed(own_folder) if wanted in (one.name.casefold(), one.path.stem.casefold())]
    own = [one for one in presets if one.path.parent != SHIPPED]
    if own:
        return own[-1]
    if presets:
        raise shipped(presets[0].name)
    raise UserError(
        f'there is no preset "{name[:LONGEST_NAME]}".',
        todo="Look at the list of presets again.",
        code="unknown-preset",
    )


def shipped(name: str) -> UserError:
    """The sentence for a preset that is not the user's."""
    return UserError(
        f'the preset "{name}" belongs to the program.',
        where="name",
        todo="Keep one of your own under another name.",
        code="not-allowed",
    )


def save(own_folder: Path, name: str, run: Run, about: str = "", *, replaces: bool = True) -> Path:
    """Keeps a run's settings as a preset of the user's own, without what belongs to its subject.

    Raises UserError for the name of a shipped one, and without `replaces` for one that is there.
    """
    path = place(own_folder, name, replaces=replaces)
    blocks = [
        f"version = {VERSION}\n",
        f"[preset]\nname = {toml_string(name.strip())}\nabout = {toml_string(about)}\n",
    ]
    for group in all_groups():
        if group.path.split(".")[0] in PERSONAL_SECTIONS and group.path != "parts.words":
            continue
        section = value_at(run, group.path)
        lines = [
            f"{key} = {toml_value(plain(getattr(section, key)))}\n"
            for key in section.__struct_fields__
            if f"{group.path}.{key}" not in PERSONAL
        ]
        blocks.append(f"[{group.path}]\n" + "".join(lines))
    files.write_text(path, "\n".join(blocks))
    return path


def place(own_folder: Path, name: str, *, replaces: bool) -> Path:
    """Where a preset of this name lies; raises UserError where it may not."""
    stem = " ".join(BAD_IN_NAMES.sub(" ", name).split()).strip(". ")[:LONGEST_NAME]
    if not stem:
        raise UserError("a preset needs a name.", where="name", todo="Type one, such as My faces.")
    wanted = (name.strip().casefold(), stem.casefold())
    for one in listed():
        if one.name.casefold() in wanted or one.path.stem.casefold() in wanted:
            raise shipped(one.name)
    # Files may be told apart by more than Windows tells them.
    there = [path for path in own_folder.glob("*.toml") if path.stem.casefold() == stem.casefold()]
    if there and not replaces:
        raise UserError(
            f'there is a preset "{name.strip()}" already.',
            where="name",
            todo="Choose another name, or replace it.",
            code="name-taken",
        )
    return there[0] if there else own_folder / f"{stem}.toml"


def rename(own_folder: Path, name: str, new_name: str, about: str) -> Path:
    """Gives a preset of the user's own another name, and says anew what it is for; raises UserError."""
    preset = find(own_folder, name)
    path = place(own_folder, new_name, replaces=True)
    if path.exists() and not path.samefile(preset.path):
        path = place(own_folder, new_name, replaces=False)
    document = tomlkit.parse(load_text(preset.path))
    head = document.get("preset")
    if not isinstance(head, dict):
        head = tomlkit.table()
        document["preset"] = head
    head["name"], head["about"] = new_name.strip(), about
    files.write_text(path, tomlkit.dumps(document))
    if not path.samefile(preset.path):
        take_away(preset.path)
    return path


def remove(own_folder: Path, name: str) -> None:
    """Takes a preset of the user's own away; raises UserError, also for shipped ones."""
    take_away(find(own_folder, name).path)


def take_away(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise FileError(
            f"the preset could not be removed: {error.strerror or error}.",
            where=str(path),
            todo="Close programs that have it open.",
        ) from error
