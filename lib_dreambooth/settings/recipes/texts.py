"""Bytes of a recipe to tables, whatever program wrote them; damage becomes one sentence."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.files import parsed

# The largest recipes known, with hundreds of subsets, are below 200 KB.
LARGEST = 2 * 1024 * 1024
DEEPEST = 32
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
Legacy = Callable[[bytes], str]


def decoded(data: bytes, name: str, legacy: Legacy | None = None) -> str:
    """The text of a recipe; `legacy` reads what is not Unicode, such as CP932 of Japanese Windows."""
    if len(data) > LARGEST:
        raise FileError(
            f"with {len(data):,} bytes the file is far too large for a recipe.",
            where=name,
            todo="Choose the config file itself.",
            code="too-large",
        )
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return as_text(data[len(mark) :], encoding, name)
    if b"\0" in data:
        raise not_text(name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        if legacy is None or looks_binary(data):
            raise not_text(name) from None
        return legacy(data)


def as_text(data: bytes, encoding: str, name: str) -> str:
    """Bytes in the encoding that their mark names."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise not_text(name) from None


def looks_binary(data: bytes) -> bool:
    """Whether more than a few control characters stand there."""
    control = sum(data.count(byte) for byte in range(32) if byte not in (9, 10, 12, 13))
    return control * 100 > len(data)


def not_text(name: str) -> FileError:
    """The sentence for what is no text."""
    return FileError(
        "this is not a text file.",
        where=name,
        todo="Choose the config that the tool saved (.toml, .json or a command line).",
        code="not-text",
    )


def require_shallow(text: str, name: str) -> None:
    """Refuses brackets inside brackets without end, which readers would choke on."""
    depth, quote, escaped = 0, "", False
    for letter in text:
        if quote:
            if escaped:
                escaped = False
            elif letter == "\\" and quote == '"':
                escaped = True
            elif letter in (quote, "\n"):
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
            if depth > DEEPEST:
                raise too_deep(name)
        elif letter in "]}":
            depth = max(0, depth - 1)


def too_deep(name: str) -> FileError:
    """The sentence for endless nesting."""
    return FileError(
        f"its lists and tables lie more than {DEEPEST} deep in each other.",
        where=name,
        todo="No tool writes such a file; choose another.",
        code="too-deep",
    )


def toml_tables(text: str, name: str) -> dict[str, Any]:
    """The tables of a TOML text."""
    require_shallow(text, name)
    if longest_dotted(text) > DEEPEST:
        raise too_deep(name)
    return parsed(text, name)


def longest_dotted(text: str) -> int:
    """Dots in the most dotted name."""
    return max((line.split("=")[0].count(".") for line in text.splitlines()), default=0)


def json_value(text: str, name: str) -> tuple[Any, list[str]]:
    """What a JSON text holds, and the names that stand twice in one table; the last of them counts."""
    require_shallow(text, name)
    doubled: list[str] = []

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                doubled.append(key)
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=table), doubled
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise FileError(
            f"this is not valid JSON ({reason}).",
            where=name,
            todo="Choose the file as the tool saved it.",
            code="not-json",
        ) from error
