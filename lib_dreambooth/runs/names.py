"""Names of models: folders that every system can hold."""

from __future__ import annotations

import re
import unicodedata

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.showing import visible_line

FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
# Devices of Windows; it takes them for the device whatever ending follows.
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"}
RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
LONGEST = 80
# File systems count bytes: a folder's name may have 255 of them.
MOST_BYTES = 200


def checked_name(name: str) -> str:
    """The name as the folder will have it (composed marks, no blanks around); raises UserError."""
    text = unicodedata.normalize("NFC", name).strip()
    why = _problem(text)
    if why:
        raise UserError(
            why,
            where="name",
            todo="Choose another name; letters of any language, digits, spaces, - and _ are fine.",
            code="bad-name",
        )
    return text


def _problem(text: str) -> str:
    if not text:
        return "a model needs a name."
    found = FORBIDDEN.search(text)
    if found:
        return f"`{found[0]}` cannot be in a name."
    if visible_line(text) != text or "\n" in text:
        return f"the name has invisible characters: {visible_line(text)}"
    if text.startswith("."):
        return "a name cannot begin with a point."
    if text.endswith("."):
        return "a name cannot end with a point; Windows leaves it off."
    if text.split(".")[0].rstrip().lower() in RESERVED:
        return f"`{text.split('.')[0]}` is a device of Windows and cannot be a folder."
    if len(text) > LONGEST or len(text.encode("utf-8")) > MOST_BYTES:
        return f"the name is too long (at most {LONGEST} characters)."
    return ""
