"""One value: from what a file or a person says to the typed value, and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from lib_dreambooth.base.durations import Duration, parse
from lib_dreambooth.settings.fields import Field, fields_by_path
from lib_dreambooth.settings.options import Option
from lib_dreambooth.settings.sections.section import Section
from lib_dreambooth.settings.values import Size, parse_size

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
MOST_TEXT = 100_000
MOST_ENTRIES = 10_000
# TOML integers have 64 bits.
LARGEST_WHOLE = 2**63 - 1
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")


class Refused(Exception):
    """A value that cannot be taken; says why, with a stable code."""

    def __init__(self, why: str, code: str) -> None:
        super().__init__(why)
        self.why = why
        self.code = code


def read_value(field: Field, raw: Any) -> Any:
    """The typed value for what a file, a form or a program gave; raises Refused."""
    return READERS[field.kind](raw, field.option)


def read_text(field: Field, text: str) -> Any:
    """The typed value for what a person typed on a command line; raises Refused."""
    return read_value(field, untyped(field, text))


def untyped(field: Field, text: str) -> Any:
    """What a file would hold for a typed text."""
    kind = field.kind
    words = text.strip()
    if kind == "switch":
        lower = words.lower()
        return True if lower in TRUE else False if lower in FALSE else text
    if kind in ("whole", "number"):
        return number_from(words)
    if kind in ("texts", "wholes", "numbers"):
        return list_from(words, kind, field.option.one_a_line)
    if kind.endswith("table") or kind == "overrides":
        return table_from(words)
    return text


def number_from(words: str) -> Any:
    """A number where the words are one, else the words."""
    for convert in (int, float):
        try:
            return convert(words)
        except ValueError:
            continue
    return words


def list_from(words: str, kind: str, one_a_line: bool = False) -> list[Any]:
    """Parts between commas, or lines where there are several, without brackets and quotes around them.

    With `one_a_line` commas are part of the texts, as in prompts, unless brackets and quotes say otherwise.
    """
    listed = json_from(words)
    if isinstance(listed, list):
        return listed
    is_bracketed = words.startswith("[") and words.endswith("]") and not one_a_line
    inner = words[1:-1] if is_bracketed else words
    parts = inner.split("\n") if "\n" in inner or one_a_line else inner.split(",")
    texts = [unquoted(part.strip()) for part in parts if part.strip()]
    return texts if kind == "texts" else [number_from(text) for text in texts]


def unquoted(text: str) -> str:
    """A text without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def json_from(words: str) -> Any:
    """What a text holds as JSON, None where it is none."""
    if not words.startswith(("[", "{")):
        return None
    try:
        return json.loads(words)
    except (ValueError, RecursionError):
        return None


def table_from(words: str) -> Any:
    """JSON, or name=value pairs between semicolons or spaces; values as numbers, switches, lists or texts."""
    table = json_from(words)
    if isinstance(table, dict):
        return table
    table = {}
    for part in re.split(r"[;\n]+|\s+(?=[^\s=]+=)", words.strip("{}")):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not equals:
            return words
        table[unquoted(name.strip())] = scalar_from(value.strip())
    return table


def scalar_from(words: str) -> Any:
    """What a text most likely means inside a table."""
    if words.startswith("[") and words.endswith("]"):
        return list_from(words, "numbers")
    if words.lower() in ("true", "false"):
        return words.lower() == "true"
    return number_from(unquoted(words))


def plain(value: Any) -> Any:
    """A value, a section or a whole run as TOML and JSON hold it."""
    if isinstance(value, Section):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (Duration, Size)):
        return str(value)
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def shown(value: Any) -> str:
    """The value in one line for people; `read_text` reads it back."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return number_shown(value)
    if isinstance(value, tuple):
        return ", ".join(shown(part) for part in value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}={shown(part)}" for name, part in value.items()) or "none"
    return str(value) if value != "" else "empty"


def number_shown(value: float) -> str:
    """A number as people write it: 1e-4 rather than 0.0001."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if abs(value) >= 1e-3:
        return repr(value)
    sign, digits, power = Decimal(repr(value)).normalize().as_tuple()
    first, *rest = map(str, digits)
    fraction = f".{''.join(rest)}" if rest else ""
    return f"{'-' if sign else ''}{first}{fraction}e{int(power) + len(rest)}"


def read_switch(raw: Any, option: Option) -> bool:
    if isinstance(raw, bool):
        return raw
    raise Refused(f"{quoted(raw)} is neither true nor false.", "wrong-type")


def read_whole(raw: Any, option: Option) -> int:
    if isinstance(raw, float) and math.isfinite(raw) and raw == int(raw):
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Refused(f"{quoted(raw)} is not a whole number.", "wrong-type")
    if option.choices and raw not in option.choices:
        raise Refused(f"{quoted(raw)} is not one of the choices.", "not-a-choice")
    if abs(raw) > LARGEST_WHOLE:
        raise Refused("the number is too large.", "out-of-range")
    check_bounds(raw, option, raw)
    return int(raw)


def read_number(raw: Any, option: Option) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise Refused(f"{quoted(raw)} is not a number.", "wrong-type")
    try:
        value = float(raw)
    except OverflowError:
        raise Refused("the number is too large.", "out-of-range") from None
    if not math.isfinite(value):
        raise Refused(f"{quoted(raw)} is not a finite number.", "out-of-range")
    check_bounds(value, option, raw)
    return value


def check_bounds(value: float, option: Option, raw: Any) -> None:
    """Refuses what lies outside the option's range."""
    low, high, above = option.low, option.high, option.above
    inside = (
        (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above)
    )
    if not inside:
        raise Refused(f"{quoted(raw)} is out of range.", "out-of-range")


def read_string(raw: Any, option: Option) -> str:
    if not isinstance(raw, str):
        raise Refused(f"{quoted(raw)} is not a text.", "wrong-type")
    text = str(raw)
    if len(text) > MOST_TEXT:
        raise Refused(f"the text is longer than {MOST_TEXT:,} characters.", "too-long")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Refused("the text holds characters that cannot be written to a file.", "bad-characters")
    if option.choices:
        return read_choice(text, option)
    if option.picks == "colour" and not COLOUR.fullmatch(text):
        raise Refused(f"{quoted(raw)} is not a colour.", "wrong-type")
    if option.picks and option.picks != "colour":
        return unquoted(text.strip())
    return text


def read_choice(text: str, option: Option) -> str:
    """One of the choices, whatever the case of its letters; its label will do too."""
    wanted = text.strip().lower()
    for value, name in option.choices.items():
        if wanted in (str(value).lower(), name.lower()):
            return str(value)
    if option.open_choices and wanted:
        return text.strip()
    raise Refused(f"{quoted(text)} is not one of the choices.", "not-a-choice")


def read_duration(raw: Any, option: Option) -> Duration:
    value = raw if isinstance(raw, Duration) else parse_duration(raw)
    if value.is_word and value.unit not in option.words:
        raise Refused(f"{quoted(str(value))} is not possible here.", "not-a-choice")
    if not value.is_word and value.unit not in option.units:
        raise Refused(f"{quoted(str(value))} has a unit that is not possible here.", "not-a-choice")
    if value.unit == "percent" and value.amount > 100:
        raise Refused(f"{quoted(str(value))} is more than the whole run.", "out-of-range")
    if not value.is_word:
        check_bounds(value.amount, option, str(value))
    return value


def parse_duration(raw: Any) -> Duration:
    """A duration from its text; a bare number lacks its unit."""
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        raise Refused(f"{quoted(raw)} has no unit.", "wrong-type")
    if not isinstance(raw, str):
        raise Refused(f"{quoted(raw)} is not a length of training.", "wrong-type")
    try:
        return parse(raw)
    except ValueError:
        raise Refused(f"{quoted(raw)} is not a length of training.", "wrong-type") from None


def read_size(raw: Any, option: Option) -> Size:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw < 10**6:
        raw = str(raw)
    if isinstance(raw, Size):
        size = raw
    elif isinstance(raw, str):
        try:
            size = parse_size(raw)
        except ValueError:
            raise Refused(f"{quoted(raw)} is not a size.", "wrong-type") from None
    else:
        raise Refused(f"{quoted(raw)} is not a size.", "wrong-type")
    if size.is_auto:
        return size
    for side in (size.width, size.height):
        check_bounds(side, option, str(size))
    return size


def read_texts(raw: Any, option: Option) -> tuple[str, ...]:
    texts = tuple(read_string(part, option) for part in parts_of(raw))
    return tuple(dict.fromkeys(texts)) if option.choices else texts


def read_wholes(raw: Any, option: Option) -> tuple[int, ...]:
    return tuple(read_whole(part, option) for part in parts_of(raw))


def read_numbers(raw: Any, option: Option) -> tuple[float, ...]:
    return tuple(read_number(part, option) for part in parts_of(raw))


def parts_of(raw: Any) -> Sequence[Any]:
    """The parts of a list."""
    if isinstance(raw, (str, bytes)) or not isinstance(raw, Sequence):
        raise Refused(f"{quoted(raw)} is not a list.", "wrong-type")
    if len(raw) > MOST_ENTRIES:
        raise Refused(f"the list has more than {MOST_ENTRIES:,} entries.", "too-long")
    return raw


def read_whole_table(raw: Any, option: Option) -> dict[str, int]:
    return {name: read_whole(value, option) for name, value in names_of(raw).items()}


def read_number_table(raw: Any, option: Option) -> dict[str, float]:
    return {name: read_number(value, option) for name, value in names_of(raw).items()}


def names_of(raw: Any) -> dict[str, Any]:
    """A table with texts for names."""
    if not isinstance(raw, Mapping):
        raise Refused(f"{quoted(raw)} is not a table of names and values.", "wrong-type")
    if len(raw) > MOST_ENTRIES:
        raise Refused(f"the table has more than {MOST_ENTRIES:,} entries.", "too-long")
    return {read_string(name, Option("", "")): value for name, value in raw.items()}


def read_table(raw: Any, option: Option) -> dict[str, Any]:
    """A free table: switches, numbers, texts and lists of them."""
    return {name: read_loose(name, value) for name, value in names_of(raw).items()}


def read_loose(name: str, value: Any, depth: int = 0) -> Any:
    """One value of a free table."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return read_whole(int(value), Option("", ""))
    if isinstance(value, float):
        return read_number(float(value), Option("", ""))
    if isinstance(value, str):
        return read_string(value, Option("", ""))
    if isinstance(value, Sequence) and not isinstance(value, bytes) and depth < 2:
        return tuple(read_loose(name, part, depth + 1) for part in parts_of(value))
    raise Refused(f"{name} = {quoted(value)} is not a number, text, switch or list of them.", "wrong-type")


def read_override(raw: Any, option: Option) -> dict[str, Any]:
    """The table of settings that differ for one concept."""
    found = {}
    for path, value in flattened(names_of(raw)).items():
        field = fields_by_path().get(path)
        if field is None or not field.option.per_concept:
            raise Refused(f"{quoted(path)} cannot differ for a concept.", "unknown-setting")
        try:
            found[path] = read_value(field, value)
        except Refused as refused:
            raise Refused(f"{path}: {refused.why}", refused.code) from None
    return found


def flattened(table: Mapping[str, Any]) -> dict[str, Any]:
    """Sections inside a table as dotted names; TOML makes them of `pictures.alpha = "drop"` unquoted."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": part for key, part in names_of(value).items()}
        else:
            found[name] = value
    return found


READERS = {
    "switch": read_switch,
    "whole": read_whole,
    "number": read_number,
    "text": read_string,
    "duration": read_duration,
    "size": read_size,
    "texts": read_texts,
    "wholes": read_wholes,
    "numbers": read_numbers,
    "whole table": read_whole_table,
    "number table": read_number_table,
    "table": read_table,
    "overrides": read_override,
}


def quoted(raw: Any) -> str:
    """A value in a sentence, shortened."""
    if isinstance(raw, bool):
        text = "true" if raw else "false"
    elif isinstance(raw, str):
        text = f'"{raw}"'
    else:
        text = str(raw)
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."
