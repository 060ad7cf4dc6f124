"""A run as a TOML file, read with every problem and written so that the user's comments stay."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.base.files import write_text
from lib_dreambooth.settings.convert import shown
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import entries
from lib_dreambooth.settings.reading import NOTHING_KNOWN, Review, review
from lib_dreambooth.settings.renames import translated
from lib_dreambooth.settings.sources import Sourced, file_source
from lib_dreambooth.settings.writing import origin_texts, text_of

LARGEST_FILE = 4 * 1024 * 1024


def review_text(
    text: str, name: str = "", *, base: Sourced | None = None, facts: Facts = NOTHING_KNOWN
) -> Review:
    """A TOML text over `base`, with every problem; raises FileError where it is not TOML at all."""
    data = parsed(text, name)
    origins = data.pop("sources", {})
    try:
        tables = translated(data)
    except UserError as error:
        empty = review({}, base=base, facts=facts)
        return Review(empty.sourced, (error,), empty.notices)
    found = review(tables, source=file_source(name), base=base, facts=facts)
    return Review(with_origins(found.sourced, origins, name), found.problems, found.notices)


def with_origins(sourced: Sourced, origins: Any, name: str) -> Sourced:
    """Sources that the file tells, where their value is still there; untouched defaults stay defaults."""
    told = origins if isinstance(origins, Mapping) else {}
    sources = dict(sourced.sources)
    for path, field, value in entries(sourced.run):
        if sources.get(path) != file_source(name):
            continue
        origin = told.get(path)
        ending = f" ({shown(value)})"
        if isinstance(origin, str) and origin.endswith(ending):
            sources[path] = origin.removesuffix(ending)
        elif value == field.default:
            del sources[path]
    return Sourced(sourced.run, types.MappingProxyType(sources))


def parsed(text: str, name: str) -> dict[str, Any]:
    """The tables of a TOML text; raises FileError."""
    try:
        return tables_of(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise FileError(
            f"this is not valid TOML ({reason}).",
            where=name,
            todo="Texts stand in quotes, lists in brackets, and each section begins with [name].",
            code="not-toml",
        ) from error


def tables_of(text: str) -> dict[str, Any]:
    """The tables of a TOML text; raises ValueError or RecursionError."""
    # Imported late: most that import the settings read no file.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    return tomllib.loads(text.replace("\r\n", "\n"))


def load_text(path: Path | str) -> str:
    """The text of a settings file; raises FileError."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            what = "the file is far too large for settings."
            raise FileError(what, where=str(path), todo="Choose another.", code="too-large")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = "the file is not UTF-8 text."
        raise FileError(what, where=str(path), todo="Save it as UTF-8.", code="not-text") from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL character in the path.
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"could not be read ({reason}).", where=str(path), todo="Check the path.") from error


def review_file(path: Path | str, *, base: Sourced | None = None, facts: Facts = NOTHING_KNOWN) -> Review:
    """A settings file over `base`, with every problem; raises FileError where it cannot be read."""
    return review_text(load_text(path), Path(path).name, base=base, facts=facts)


def read_file(path: Path | str, *, base: Sourced | None = None, facts: Facts = NOTHING_KNOWN) -> Sourced:
    """The run in a settings file; raises FileError or SettingsError with every problem."""
    return review_file(path, base=base, facts=facts).accepted()


def write_file(path: Path | str, sourced: Sourced) -> None:
    """Writes a settings file, whole or not at all; comments that are in it already stay."""
    path = Path(path)
    text = updated_text(load_text(path), sourced) if path.is_file() else ""
    write_text(path, text or text_of(sourced))


def updated_text(previous: str, sourced: Sourced) -> str:
    """An earlier text with the values of a run, comments and order kept; empty where that cannot be done."""
    # Imported late, as it imports tomlkit.
    from lib_dreambooth.settings.editing import edited

    try:
        text = edited(previous, sourced.run, origin_texts(sourced))
        same = review_text(text).sourced.run == sourced.run
    except FileError:
        return ""
    return text if same else ""
