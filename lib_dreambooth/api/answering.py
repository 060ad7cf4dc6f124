"""From a request to a call, and from what came of it to a response: the edge of the API."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request
from fastapi.responses import JSONResponse, Response

from lib_dreambooth.api.calls import Call, Query, Route, Site
from lib_dreambooth.base.errors import UserError

log = logging.getLogger(__name__)
Result = TypeVar("Result")
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# What others may not do with our answers: guess their kind, frame them, keep them.
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "SAMEORIGIN"}
NOT_FOUND = ("no-such-model", "no-such-file", "no-such-entry", "no-such-base", "unknown-preset")
CONFLICT = (
    "model-in-use",
    "unfinished-run",
    "run-finished",
    "no-state",
    "not-running",
    "is-running",
    "not-waiting",
    "name-taken",
    "exists",
    "queue-full",
    "queue-in-use",
    "nothing-stopped",
    "nothing-to-undo",
    "nothing-to-draw",
)
STATUS = {"too-large": 413, "not-json": 415, "not-allowed": 403, "wrong-method": 405, "not-offered": 410}
STATUS |= dict.fromkeys(NOT_FOUND, 404) | dict.fromkeys(CONFLICT, 409)
BAD_INPUT, FAILED = 422, 500
THREADS = 4
# What a body that has a field of this name takes all others into.
REST = "rest"
LONGEST_WORD = 200


class Threads:
    """Threads of our own: the host's may all be waiting for its queue. Made when first needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], Result]) -> Result:
        """Does the work without holding up the server."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dreambooth-api")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


async def answered(route: Route, site: Site, threads: Threads, request: Request) -> Response:
    """The response to a request; never an exception."""
    refusal = site.access.refusal(request, site.host)
    if refusal is not None:
        error = UserError(refusal.what, todo=refusal.todo, code=refusal.code)
        headers = {"WWW-Authenticate": "Basic"} if refusal.status == 401 and asks_basic(site) else {}
        return failed(error, refusal.status, headers)
    try:
        call = await call_of(route, site, request)
        found = await threads.run(lambda: route.do(call))
    except UserError as error:
        return failed(error, STATUS.get(error.code, BAD_INPUT))
    except Exception as error:  # the edge of the API: the log has the details, the caller a sentence
        log.exception("%s %s failed", route.method, route.path)
        what = f"something went wrong that should not ({type(error).__name__})."
        told = UserError(what, todo="The log has the details.", code="internal-error")
        return failed(told, FAILED)
    if isinstance(found, Response):
        found.headers.update({name: value for name, value in HEADERS.items() if name not in found.headers})
        return found
    return Response(msgspec.json.encode(found), route.status, HEADERS, JSON)


def asks_basic(site: Site) -> bool:
    """Whether a browser may ask its user for a name and password."""
    return bool(site.host.settings.api_users)


def failed(error: UserError, status: int, headers: dict[str, str] | None = None) -> Response:
    """An error as JSON, under `error`."""
    return JSONResponse({"error": error.to_json()}, status, {**HEADERS, **(headers or {})})


async def call_of(route: Route, site: Site, request: Request) -> Call:
    """Reads what a request brings; raises UserError for what is wrong with it."""
    parts = {name: part_of(request.path_params[name]) for name in route.parts}
    query = {one.name: query_value(one, request.query_params.get(one.name)) for one in route.query}
    body: Any = None
    if route.body is not None:
        data = await body_bytes(request, route.largest)
        body = body_of(route, request, data)
    return Call(site, parts, query, body, request.headers.get("last-event-id", "")[:LONGEST_WORD])


def part_of(text: str) -> str:
    """A name in a path; a name never has more than a folder may have."""
    if len(text) > LONGEST_WORD or "\x00" in text:
        raise UserError(
            "is not a name.", where=text[:40], todo="Use the names that are listed.", code="bad-name"
        )
    return text


def query_value(query: Query, text: str | None) -> int | str | bool:
    """A value behind the question mark; raises UserError."""
    if text is None:
        return query.default
    if isinstance(query.default, bool):
        return text.lower() in ("1", "true", "yes", "on")
    if isinstance(query.default, int):
        if not (text.isascii() and text.isdecimal() and len(text) <= 15):
            raise UserError(
                f"{text[:40]!r} is not a whole number.",
                where=query.name,
                todo="Give 0 or more.",
                code="bad-query",
            )
        return int(text)
    return text[:LONGEST_WORD]


async def body_bytes(request: Request, largest: int) -> bytes:
    """The body, read no further than it may be long."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > largest:
        raise too_large(largest)
    parts, count = [], 0
    async for part in request.stream():
        count += len(part)
        if count > largest:
            raise too_large(largest)
        parts.append(part)
    return b"".join(parts)


def too_large(largest: int) -> UserError:
    """The sentence for a body that is too long."""
    return UserError(
        f"this is more than the {largest:,} bytes that are taken here.", todo="Send less.", code="too-large"
    )


def body_of(route: Route, request: Request, data: bytes) -> Any:
    """The body as its type; raises UserError."""
    assert route.body is not None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if route.takes_anything:
        values = {name: request.query_params[name] for name in request.query_params}
        if kind == JSON and data.strip():
            values |= json_table(data)
        elif kind == FORM:
            values |= dict(parse_qsl(data.decode("utf-8", "replace")))
        known = {field.encode_name for field in msgspec.structs.fields(route.body)}
        taken: dict[str, Any] = {name: value for name, value in values.items() if name in known - {REST}}
        if REST in known:
            taken[REST] = {name: value for name, value in values.items() if name not in taken}
        return typed(taken, route.body)
    if kind != JSON:
        raise UserError(
            "the body is not said to be JSON.", todo=f"Send it as Content-Type: {JSON}.", code="not-json"
        )
    try:
        return msgspec.json.decode(data or b"{}", type=route.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"the body is not what is taken here: {error}.", todo="See /docs.", code="bad-body"
        ) from error


def typed(values: dict[str, Any], kind: type) -> Any:
    """Values as a body, texts read as numbers where those are wanted; raises UserError."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UserError(
            f"this is not what is taken here: {error}.", todo="See /docs.", code="bad-body"
        ) from error


def json_table(data: bytes) -> dict[str, Any]:
    """The names and values of a JSON object; raises UserError for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError("the body is not a JSON object.", todo="See /docs.", code="bad-body")
    return found
