"""Values as other tools write them, turned into what the schema reads; anything else raises Unreadable."""

from __future__ import annotations

import ast
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lib_dreambooth.base.durations import LARGEST, Duration

LONGEST_LITERAL = 2000
SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Turn = Callable[[Any], Any]


class Unreadable(Exception):
    """A value that is not what the option takes; the text says what it should be."""


def switch(value: Any) -> bool:
    """True or false; also as texts and as 1 and 0, which scripts take for them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    found = SWITCHES.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise Unreadable("is neither true nor false.")
    return found


def number(value: Any) -> float:
    """A finite number; also as a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Unreadable("is not a number.")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise Unreadable("is not a number.") from None
    if not math.isfinite(found):
        raise Unreadable("is not a finite number.")
    return found


def whole(value: Any) -> int:
    """A whole number; also as a text or as 8.0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(value)
    if found != int(found):
        raise Unreadable("is not a whole number.")
    return int(found)


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise Unreadable("is not a text.")
    return value


def loose_text(value: Any) -> str:
    """A text; numbers are taken as typed."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Unreadable("is not a text.")
    return str(value)


def lower_text(value: Any) -> str:
    """A text in small letters, for choices."""
    return text(value).strip().lower()


def comma_texts(value: Any) -> list[str]:
    """Texts between commas, or a list of them."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise Unreadable("is not a list of texts.")
    return [part.strip() for part in parts if part.strip()]


def numbers(value: Any) -> list[float]:
    """Numbers between commas, in a list, or one alone."""
    if isinstance(value, str):
        return [number(part.strip()) for part in value.strip("[]() ").split(",") if part.strip()]
    if isinstance(value, Sequence):
        return [number(part) for part in value]
    return [number(value)]


def wholes(value: Any) -> list[int]:
    """Whole numbers between commas, in a list, or one alone."""
    return [whole(part) for part in numbers(value)]


def size(value: Any) -> str:
    """A resolution: 512, "512", "512,768", "(512, 768)" or [512, 768]."""
    width, height = whole_size(value)
    return f"{width}x{height}"


def whole_size(value: Any) -> tuple[int, int]:
    """The two sides of a resolution."""
    sides = wholes(value)
    if not 1 <= len(sides) <= 2 or not all(0 < side < 10**6 for side in sides):
        raise Unreadable("is not a size.")
    return sides[0], sides[-1]


def extension(value: Any) -> str:
    """The ending of caption files, with its dot."""
    found = text(value).strip()
    return found if found.startswith(".") else f".{found}"


def amount(unit: str) -> Turn:
    """A number of steps, epochs and so on as a duration; nothing or less is never."""

    def turned(value: Any) -> str:
        return str(duration(number(value), unit))

    return turned


def duration(value: float, unit: str) -> Duration:
    """A duration; 0 and less are none at all."""
    if value > LARGEST:
        raise Unreadable("is too long.")
    return Duration(max(0.0, value), unit) if value > 0 else Duration(0, "never")


def literal(value: Any) -> Any:
    """What Python makes of a text such as 0.9 or (0.9, 0.99); other texts stay texts."""
    if not isinstance(value, str) or len(value) > LONGEST_LITERAL:
        return value
    try:
        found = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value
    return found if is_plain(found) else value


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is a switch, number, text, or a short list of them."""
    if isinstance(value, (list, tuple)):
        return depth < 2 and all(is_plain(part, depth + 1) for part in value)
    return isinstance(value, (bool, int, float, str))


def pairs(value: Any) -> list[tuple[str, Any]]:
    """name=value texts in a list, in one text with spaces, or a table, as names with values.

    What has no equals sign comes with an empty name.
    """
    if isinstance(value, Mapping):
        return [(str(name), part) for name, part in value.items()]
    parts = split_arguments(value) if isinstance(value, str) else value
    if not isinstance(parts, Sequence):
        raise Unreadable("is not a list of name=value.")
    found: list[tuple[str, Any]] = []
    for part in parts:
        name, equals, rest = part.partition("=") if isinstance(part, str) else ("", "", part)
        found.append((name.strip(), rest.strip()) if equals and name.strip() else ("", part))
    return found


def split_arguments(line: str) -> list[str]:
    """A line of arguments at its spaces; quotes hold together and are taken off."""
    # A list typed with commas between pairs is read too; a comma inside a value stays.
    spaced = re.sub(
        r"\)\s*,\s*(?=\w+\s*=)|(?<=[^,=\s]),\s+(?=\w+\s*=)", lambda m: m[0].replace(",", " "), line
    )
    try:
        return shlex.split(re.sub(r"\s*=\s*", "=", spaced))
    except ValueError:
        return spaced.split()
