"""Settings: what there are, whether they go together, presets, files, and other tools' recipes."""

from __future__ import annotations

import base64
import binascii
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from lib_dreambooth.api.calls import Answer, Body, Call, Query, Route
from lib_dreambooth.api.settings_in import accepted, refuse_closed, reviewed, tables
from lib_dreambooth.api.tables.models import model_of
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings import own_presets
from lib_dreambooth.settings import preset as presets
from lib_dreambooth.settings.allowed import allowed
from lib_dreambooth.settings.compare import differences
from lib_dreambooth.settings.fields import all_fields
from lib_dreambooth.settings.files import load_text, review_text, write_file
from lib_dreambooth.settings.json_schema import field_schema, json_schema
from lib_dreambooth.settings.reading import defaults
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.settings.writing import text_of

OWN_PRESETS = ".presets"
# A run that is only thought of.
NO_MODEL = "new model"


class Settings(Body, frozen=True, kw_only=True):
    """Nested tables (or a TOML text), and values by path over them."""

    settings: dict[str, Any] | str = msgspec.field(default_factory=dict)
    changes: dict[str, Any] = msgspec.field(default_factory=dict)


class Problem(Answer, frozen=True, kw_only=True):
    """What is wrong, at which setting, and what to do."""

    code: str
    what: str
    where: str = ""
    todo: str = ""


class Reviewed(Answer, frozen=True, kw_only=True):
    """The settings that could be taken, every problem, every warning, and where each value is from."""

    settings: dict[str, Any]
    problems: list[Problem]
    notices: list[Problem]
    sources: dict[str, str]


class Preset(Answer, frozen=True, kw_only=True):
    """A preset by its name; `id` is its name in paths, `is_own` says whether the user saved it."""

    id: str
    name: str
    about: str
    is_own: bool


class Change(Answer, frozen=True, kw_only=True):
    """One setting that a preset changes."""

    path: str
    label: str
    before: Any
    after: Any


class Applied(Answer, frozen=True, kw_only=True):
    """Settings under a preset, and what is different from before."""

    settings: dict[str, Any]
    changes: list[Change]


class Wanted(Settings, frozen=True, kw_only=True):
    """A preset over settings; it sets the length by the number of pictures where that is known."""

    preset: str
    pictures: int = 0


class Performing(Settings, frozen=True, kw_only=True):
    """Settings for a card of `card` GiB, 0 for the one that is here, with the `offers` that were taken."""

    card: float = 0
    offers: dict[str, Any] = msgspec.field(default_factory=dict)
    model: str = ""


class Performed(Answer, frozen=True, kw_only=True):
    """Settings that are fast on a card. `changes` teach the same; `offers` do not, each with what it costs.

    `card` is its size in GiB, 0 for the one that is here, of which a run finds `here` bytes (null: there is
    none); `room` and `peak` are bytes.
    """

    settings: dict[str, Any]
    changes: list[Change]
    offers: list[dict[str, Any]]
    card: float
    cards: list[float]
    here: int | None
    room: int | None
    peak: int
    fits: bool | None


class Keeping(Settings, frozen=True, kw_only=True):
    """A preset of the user's own, without what belongs to its subject; one that is there stays without
    `replaces`."""

    name: str
    about: str = ""
    replaces: bool = False


class Renaming(Body, frozen=True, kw_only=True):
    """Another name for a preset, and what it is for."""

    name: str
    about: str = ""


class Recipe(Body, frozen=True, kw_only=True):
    """A file of another tool: as text, or its bytes in base64. `as_run` repeats what the tool did."""

    name: str
    text: str = ""
    base64: str = ""
    as_run: bool = False


class Imported(Answer, frozen=True, kw_only=True):
    """The settings of a recipe, and what became of each of its keys."""

    settings: dict[str, Any]
    report: dict[str, Any]


class Exporting(Settings, frozen=True, kw_only=True):
    """Settings for kohya's scripts; `family` where the base leaves it open."""

    family: str = ""
    name: str = "config.toml"


class Exported(Answer, frozen=True, kw_only=True):
    """Texts by file name, how to start it, and what could not be said."""

    files: dict[str, str]
    command: str
    notes: list[str]
    left_out: list[str]


class Text(Answer, frozen=True, kw_only=True):
    """Settings as a TOML file."""

    text: str


def schema(call: Call) -> dict[str, Any]:
    return json_schema()


def fields(call: Call) -> list[dict[str, Any]]:
    return [{"path": one.path, "allowed": allowed(one), **field_schema(one)} for one in all_fields()]


def default_settings(call: Call) -> dict[str, Any]:
    return tables(defaults().run)


def validate(call: Call) -> dict[str, Any]:
    body: Settings = call.body
    found = reviewed(call.host, body.settings, body.changes)
    return {
        "settings": tables(found.sourced.run),
        "problems": [problem.to_json() for problem in found.problems],
        "notices": [notice.to_json() for notice in found.notices],
        "sources": dict(found.sourced.sources),
    }


def as_text(call: Call) -> dict[str, Any]:
    body: Settings = call.body
    return {"text": text_of(accepted(call.host, body.settings, body.changes))}


def of_model(call: Call) -> dict[str, Any]:
    folder = model_of(call)
    if call.query.get("of_run"):
        from lib_dreambooth.jobs.standing import settings_text, standing_of

        text = settings_text(folder, standing_of(folder))
        if text is not None:
            return tables(review_text(text, folder.settings_path.name).sourced.run)
    if not folder.settings_path.is_file():
        return default_settings(call)
    return tables(review_text(load_text(folder.settings_path), folder.settings_path.name).sourced.run)


def keep_for_model(call: Call) -> dict[str, Any]:
    body: Settings = call.body
    folder = model_of(call)
    sourced = accepted(call.host, body.settings, body.changes)
    write_file(folder.settings_path, sourced)
    return tables(sourced.run)


def preset_folder(call: Call) -> Path:
    """Where the user's own presets are."""
    return call.host.paths.dreambooth / OWN_PRESETS


def list_presets(call: Call) -> list[dict[str, Any]]:
    return [preset_shown(one) for one in presets.listed(preset_folder(call))]


def preset_shown(one: presets.Preset) -> dict[str, Any]:
    """A preset for pages and programs."""
    is_own = one.path.parent != presets.SHIPPED
    return {"id": one.path.stem, "name": one.name, "about": one.about, "is_own": is_own}


def apply_preset(call: Call) -> dict[str, Any]:
    body: Wanted = call.body
    before = reviewed(call.host, body.settings, body.changes).sourced
    after = presets.applied(
        named(call, body.preset), Sourced(before.run, before.sources), body.pictures or None
    )
    changes = [change.to_json() for change in differences(before.run, after.run)]
    return {"settings": tables(after.run), "changes": changes}


def perform(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs.performance import performance

    body: Performing = call.body
    before = reviewed(call.host, body.settings, body.changes).sourced
    refuse_closed(call.host, body.offers)
    found = performance(call.host, body.model or NO_MODEL, before, body.offers, body.card)
    return {"settings": tables(found.suiting.sourced.run), **found.to_json()}


def named(call: Call, name: str) -> presets.Preset:
    """A preset by its name; never a path, which the command line takes."""
    wanted = name.strip().lower()
    found = presets.listed(preset_folder(call))
    for one in reversed(found):
        if wanted in (one.name.lower(), one.path.stem.lower()):
            return one
    raise UserError(
        f'there is no preset "{name[:80]}".',
        where="preset",
        todo=f"There are: {', '.join(one.name for one in found)}.",
        code="unknown-preset",
    )


def keep_preset(call: Call) -> dict[str, Any]:
    body: Keeping = call.body
    sourced = accepted(call.host, body.settings, body.changes)
    path = own_presets.save(preset_folder(call), body.name, sourced.run, body.about, replaces=body.replaces)
    return preset_shown(presets.load(path))


def rename_preset(call: Call) -> dict[str, Any]:
    body: Renaming = call.body
    path = own_presets.rename(preset_folder(call), call.parts["preset"], body.name, body.about)
    return preset_shown(presets.load(path))


def remove_preset(call: Call) -> list[dict[str, Any]]:
    own_presets.remove(preset_folder(call), call.parts["preset"])
    return list_presets(call)


def import_recipe(call: Call) -> dict[str, Any]:
    imported = read_body(call, call.body)
    return {"settings": tables(imported.run), "report": imported.report.to_json()}


def read_body(call: Call, body: Recipe) -> Any:
    """What a recipe means here; raises UserError."""
    from lib_dreambooth.data.captions.decode import decode
    from lib_dreambooth.jobs.bases import bases_of
    from lib_dreambooth.settings.recipes import Candidate, Here, read_recipe

    found = tuple(Candidate(str(base.path)) for base in bases_of(call.host.paths))
    known = {one.path for one in found}
    here = Here(
        checkpoints=found,
        locate=partial(known_place, known=known, is_open=call.host.settings.may_name_folders),
    )
    return read_recipe(
        bytes_of(body), body.name, as_run=body.as_run, here=here, legacy=lambda raw: decode(raw).text
    )


def known_place(path: str, known: set[str], *, is_open: bool) -> str:
    """A path that a recipe names, where it is a checkpoint that the host lists, or a place of this machine.

    Who may not name folders does not find out by a recipe what is there. Shares are never asked: a recipe
    from elsewhere could name one of a stranger, who would be sent a login.
    """
    is_share = path.startswith(("//", "\\\\"))
    if path in known or (is_open and not is_share and Path(path).is_absolute() and Path(path).exists()):
        return path
    return ""


def bytes_of(recipe: Recipe) -> bytes:
    """The bytes of a recipe; raises UserError."""
    if not recipe.base64:
        return recipe.text.encode("utf-8")
    try:
        return base64.b64decode(recipe.base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(
            "is not base64.", where="base64", todo="Send the file as it is.", code="bad-body"
        ) from error


def export_recipe(call: Call) -> dict[str, Any]:
    from lib_dreambooth.settings.recipes.export.kohya import export_kohya

    body: Exporting = call.body
    run = accepted(call.host, body.settings, body.changes).run
    found = export_kohya(run, body.name, body.family)
    return {
        "files": found.files,
        "command": found.command,
        "notes": list(found.notes),
        "left_out": list(found.left_out),
    }


ROUTES = (
    Route("GET", "/settings/schema", "All settings as JSON Schema", schema),
    Route("GET", "/settings/fields", "All settings as a list", fields, list[dict[str, Any]]),
    Route("GET", "/settings/defaults", "A run of defaults", default_settings),
    Route("POST", "/settings/validate", "Every problem and warning at once", validate, Reviewed, Settings),
    Route("POST", "/settings/text", "The settings as a TOML file", as_text, Text, Settings),
    Route("GET", "/settings/presets", "All presets", list_presets, list[Preset]),
    Route("POST", "/settings/presets", "Keep settings as a preset", keep_preset, Preset, Keeping, status=201),
    Route("POST", "/settings/presets/apply", "Settings under a preset", apply_preset, Applied, Wanted),
    Route(
        "POST",
        "/settings/performance",
        "Settings that are fast on a card, and what else would be at a cost",
        perform,
        Performed,
        Performing,
    ),
    Route(
        "POST",
        "/settings/presets/{preset}/rename",
        "Another name for a preset of one's own",
        rename_preset,
        Preset,
        Renaming,
    ),
    Route(
        "DELETE",
        "/settings/presets/{preset}",
        "Remove a preset of one's own; those of the program stay",
        remove_preset,
        list[Preset],
    ),
    Route("POST", "/settings/import", "Read another tool's recipe", import_recipe, Imported, Recipe),
    Route("POST", "/settings/export", "Settings for kohya's scripts", export_recipe, Exported, Exporting),
    Route(
        "GET",
        "/models/{model}/settings",
        "The settings of a model as last used or kept",
        of_model,
        query=(Query("of_run", "on: as the last run was given them", False),),
    ),
    Route("PUT", "/models/{model}/settings", "Keep the settings of a model", keep_for_model, body=Settings),
)
