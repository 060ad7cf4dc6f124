"""Frozen dataclasses as plain JSON values and back, by their type hints."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

# JSON has no word for these, and a browser refuses Python's.
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Unreadable(Exception):
    """A value has not the form that the type asks for."""


def to_plain(value: Any) -> Any:
    """Lists, texts, numbers and tables; numbers that are none become texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(part) for part in value]
    return value


def fields_to_plain(instance: Any) -> dict[str, Any]:
    """A dataclass as a table."""
    return {field.name: to_plain(getattr(instance, field.name)) for field in dataclasses.fields(instance)}


def fields_from_plain(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for a dataclass; what it has no field for is left out. Raises Unreadable."""
    hints = _hints(kind)
    return {name: _typed(hint, data[name]) for name, hint in hints.items() if name in data}


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _typed(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _typed(next(part for part in typing.get_args(hint) if part is not type(None)), value)
    if origin is tuple:
        return tuple(_typed(typing.get_args(hint)[0], part) for part in _as(list, value))
    if origin in (dict, Mapping) or typing.get_origin(hint) is not None:
        part = typing.get_args(hint)[1]
        return {str(key): _typed(part, one) for key, one in _as(dict, value).items()}
    if hint is float:
        return _number(value)
    return _as(hint, value)


def _number(value: Any) -> float:
    if isinstance(value, str) and value in NOT_FINITE:
        return NOT_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable(f"not a number: {value!r}")
    return float(value)


def _as(kind: Any, value: Any) -> Any:
    if kind is not Any and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise Unreadable(f"not of type {kind.__name__}: {value!r}")
    return value
