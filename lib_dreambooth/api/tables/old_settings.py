"""The same for settings: configs of sd_dreambooth_extension come in as recipes do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from lib_dreambooth.api.calls import Body, Call, Route
from lib_dreambooth.api.settings_in import accepted, tables
from lib_dreambooth.api.tables import models, settings
from lib_dreambooth.api.tables.old import folder_of
from lib_dreambooth.base.errors import UserError

NAME, MODEL = "db_config.json", "model_name"


class Config(Body, frozen=True, kw_only=True):
    """A whole config, its fields beside the name as that extension has them."""

    model_name: str = ""
    rest: dict[str, Any] = msgspec.field(default_factory=dict)


class Params(Body, frozen=True, kw_only=True):
    """Some fields of a config: a JSON object, or its text."""

    model_name: str = ""
    params: dict[str, Any] | str = msgspec.field(default_factory=dict)


def keep_config(call: Call) -> dict[str, Any]:
    """The settings that this config means, in place of the model's."""
    body: Config = call.body
    folder = folder_of(call, body.model_name)
    imported = read(call, folder.name, body.rest)
    return keep(call, folder.name, tables(imported.run), imported)


def keep_params(call: Call) -> dict[str, Any]:
    """The model's settings with what these fields mean; fields that are not there change nothing."""
    body: Params = call.body
    folder = folder_of(call, body.model_name)
    imported = read(call, folder.name, table_of(body.params))
    values = settings.of_model(Call(call.site, {"model": folder.name}))
    meant = tables(imported.run)
    for line in imported.report.lines:
        for path, _ in line.sets if line.key != MODEL else ():
            put(values, meant, path.split("."))
    return keep(call, folder.name, values, imported)


def put(values: dict[str, Any], meant: Mapping[str, Any], path: list[str]) -> None:
    """Takes over the value at a path; what there are several of comes together."""
    *sections, last = path[:1] if isinstance(meant[path[0]], list) else path
    for section in sections:
        values, meant = values[section], meant[section]
    values[last] = meant[last]


def read(call: Call, name: str, fields: Mapping[str, Any]) -> Any:
    """What a config means, known by the name of its model; raises UserError for what is none."""
    body = settings.Recipe(name=NAME, text=json.dumps({**fields, MODEL: name}))
    return settings.read_body(call, body)


def table_of(params: dict[str, Any] | str) -> dict[str, Any]:
    """The fields; raises UserError for a text that is no JSON object."""
    try:
        found = json.loads(params) if isinstance(params, str) else params
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        what, todo = "is not a JSON object.", "Send fields with their values."
        raise UserError(what, where="params", todo=todo, code="bad-body")
    return found


def keep(call: Call, name: str, values: dict[str, Any], imported: Any) -> dict[str, Any]:
    """Writes a model's settings; says what became of each field."""
    from lib_dreambooth.settings.files import write_file

    folder = folder_of(call, name)
    inner = Call(call.site, {"model": folder.name})
    sourced = accepted(call.host, values)
    write_file(models.model_of(inner).settings_path, sourced)
    return {"model_name": folder.name, **tables(sourced.run), "report": imported.report.to_json()}


ROUTES = (
    Route(
        "POST", "/model_config", "Old: a config for a model", keep_config, body=Config, takes_anything=True
    ),
    Route(
        "POST",
        "/model_params",
        "Old: some settings of a model",
        keep_params,
        body=Params,
        takes_anything=True,
    ),
)
