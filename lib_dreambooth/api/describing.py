"""The routes as OpenAPI describes them, made from their types."""

from __future__ import annotations

from typing import Any

import msgspec

from lib_dreambooth.api.calls import Query, Route

REF = "#/components/schemas/"
MEDIA = {"picture": "image/png", "file": "application/octet-stream", "events": "text/event-stream"}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "what"],
            "description": "what is wrong, where, what to do; of settings, `problems` has all.",
            "properties": {
                "code": {"type": "string"},
                "what": {"type": "string"},
                "where": {"type": "string"},
                "todo": {"type": "string"},
                "problems": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
PARTS = {
    "preset": "the id of a preset",
    "model": "the name of a model",
    "file_id": "a file by the id that lists give it",
    "entry_id": "an entry of the queue by its id",
    "task_id": "a task by its id",
}


def operation(route: Route) -> dict[str, Any]:
    """What `openapi_extra` adds to what FastAPI finds out by itself."""
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARTS[name],
            "schema": {"type": "string"},
        }
        for name in route.parts
    ]
    parameters += [parameter(query) for query in route.query]
    media = MEDIA.get(route.answer) if isinstance(route.answer, str) else None
    content = {media: {}} if media else {"application/json": {"schema": schema_of(route.answer)}}
    described: dict[str, Any] = {
        "parameters": parameters,
        "responses": {
            str(route.status): {"description": "done", "content": content},
            "4XX": {"description": "refused, and why", "content": {"application/json": {"schema": ERROR}}},
        },
    }
    if route.body is not None:
        is_needed = any(field.required for field in msgspec.structs.fields(route.body))
        schema = schema_of(route.body)
        described["requestBody"] = {
            "required": is_needed,
            "content": {"application/json": {"schema": schema}},
        }
    return described


def parameter(query: Query) -> dict[str, Any]:
    """A value behind the question mark."""
    kinds = {bool: "boolean", int: "integer", str: "string"}
    schema: dict[str, Any] = {"type": kinds[type(query.default)], "default": query.default}
    return {
        "name": query.name,
        "in": "query",
        "required": False,
        "description": query.about,
        "schema": schema,
    }


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type with nothing to look up elsewhere: the whole document is the host's."""
    (found,), components = msgspec.json.schema_components([kind], ref_template=REF + "{name}")
    inlined = inline(found, components)
    assert isinstance(inlined, dict)
    return inlined


def inline(value: Any, components: dict[str, Any]) -> Any:
    """The same with every reference replaced by what it refers to."""
    if isinstance(value, dict):
        name = str(value.get("$ref", "")).removeprefix(REF)
        if name:
            return inline(components[name], components)
        return {key: inline(one, components) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [inline(one, components) for one in value]
    return value
