"""Values as TOML writes them."""

from __future__ import annotations

import json
import re
from typing import Any

from lib_dreambooth.settings.convert import number_shown

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Longer lists get a line for each part.
WIDEST = 100


def toml_value(value: Any) -> str:
    """A plain value (see `convert.plain`) on the right of an equals sign."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return toml_float(value)
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml_key(name)} = {toml_value(part)}' for name, part in value.items())}}}"
    parts = [toml_value(part) for part in value]
    line = f"[{', '.join(parts)}]"
    if len(line) <= WIDEST:
        return line
    return "[\n" + "".join(f"    {part},\n" for part in parts) + "]"


def toml_float(value: float) -> str:
    """A float, exactly, with a point or a power so that it stays one."""
    text = number_shown(value)
    return text if any(mark in text for mark in ".e") else f"{text}.0"


def toml_string(text: str) -> str:
    """A text; paths of Windows without doubled backslashes."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    # JSON's escapes are TOML's, but for the delete character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """A name on the left of an equals sign."""
    return (
        name if BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
    )
