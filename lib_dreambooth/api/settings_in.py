"""Settings that a call brings: nested tables as one JSON value, or a TOML text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.api.access import allowed_folders
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.base.host import Host
from lib_dreambooth.jobs.made_files import is_inside
from lib_dreambooth.jobs.orders import facts_of
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import entries
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.settings.reading import Review, review, review_changes
from lib_dreambooth.settings.renames import translated
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import FORM, Sourced

# What a setting picks where it is a place on this machine.
PLACES = ("checkpoint", "vae", "lora", "embedding", "file", "folder")


def reviewed(
    host: Host, settings: Mapping[str, Any] | str, changes: Mapping[str, Any] | None = None
) -> Review:
    """The settings with every problem and warning, places that may not be named among them."""
    facts = facts_of(host)
    if isinstance(settings, str):
        found = review_text(settings, "settings.toml", facts=facts)
    else:
        try:
            found = review(translated(dict(settings)), source=FORM, facts=facts)
        except UserError as error:
            empty = review({}, facts=facts)
            found = Review(empty.sourced, (error,), empty.notices)
    if changes:
        unread = [problem for problem in found.problems if problem.code != "contradiction"]
        changed = review_changes(changes, source=FORM, base=found.sourced, facts=facts)
        found = Review(changed.sourced, (*unread, *changed.problems), changed.notices)
    return Review(found.sourced, (*found.problems, *closed_places(host, found.sourced.run)), found.notices)


def accepted(
    host: Host, settings: Mapping[str, Any] | str, changes: Mapping[str, Any] | None = None
) -> Sourced:
    """The run; raises SettingsError with every problem."""
    return reviewed(host, settings, changes).accepted()


def closed_places(host: Host, run: Run) -> Iterator[UserError]:
    """Every place in the settings that this caller may not name."""
    if host.settings.may_name_folders:
        return
    roots = allowed_folders(host.paths)
    for path, field, value in entries(run):
        is_place = field.option.picks in PLACES and isinstance(value, str) and bool(value.strip())
        if is_place and not is_allowed(Path(value.strip()), roots):
            yield not_allowed(path)


def refuse_closed(host: Host, changes: Mapping[str, Any]) -> None:
    """The same for changes of a run that is gone on with, whose other settings were looked at before."""
    if not host.settings.may_name_folders and changes:
        found = review_changes(changes)
        problems = list(closed_places(host, found.sourced.run))
        if problems:
            raise SettingsError(problems)


def is_allowed(path: Path, roots: list[Path]) -> bool:
    """Whether a place, links followed, lies below one of the folders that anybody may name, or is one."""
    if not path.is_absolute() or ".." in path.parts:
        return False
    return any(path == root for root in roots) or is_inside(path, roots)


def require_allowed(host: Host, folder: Path, where: str) -> None:
    """Raises UserError where this caller may not name a folder."""
    if not host.settings.may_name_folders and not is_allowed(folder, allowed_folders(host.paths)):
        raise not_allowed(where)


def not_allowed(where: str) -> UserError:
    """The sentence for a place that a caller from elsewhere must not name."""
    return UserError(
        "this page is open to others, so folders of this machine cannot be named here.",
        where=where,
        todo="Put the files below the models folder, or start the page for this machine alone.",
        code="not-allowed",
    )


def tables(run: Run) -> dict[str, Any]:
    """A run as nested tables: the one JSON value that a form holds."""
    found = plain(run)
    assert isinstance(found, dict)
    return found
