"""What people are shown: text that others wrote made safe to look at, sizes and times in words."""

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


def shown_bytes(num_bytes: float) -> str:
    """A size for people."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def shown_seconds(seconds: float) -> str:
    """A time for people that is known roughly: "40 s", "10 min", "3.5 h"."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{round(minutes)} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _visible(char: str) -> str:
    # Cf holds the marks that turn text around; the joiner in it makes one emoji of several.
    category = unicodedata.category(char)
    is_hidden = category in ("Cc", "Cs", "Co", "Cn") or (category == "Cf" and char != "\u200d")
    return f"\\u{ord(char):04x}" if is_hidden and char not in "\n\t" else char
