"""Text that others wrote, such as a file's name or a caption, made safe to look at."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """The text with control marks, direction marks and broken characters written out as `\\u202e`.

    A name can then neither look like another nor steer a terminal. Line ends and tabs stay.
    """
    return "".join(_visible(char) for char in text)


def visible_line(text: str) -> str:
    """The same on one line."""
    return visible(text).replace("\n", "\\n").replace("\t", " ")


def _visible(char: str) -> str:
    # Cf holds the marks that turn text around; the joiner in it makes one emoji of several.
    category = unicodedata.category(char)
    is_hidden = category in ("Cc", "Cs", "Co", "Cn") or (category == "Cf" and char != "\u200d")
    return f"\\u{ord(char):04x}" if is_hidden and char not in "\n\t" else char
