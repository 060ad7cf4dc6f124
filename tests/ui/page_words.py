"""What the scripts of the page say, read off their sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "javascript"
COMMENT = re.compile(r"^\s*//.*$|\s//\s.*$", re.MULTILINE)
TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
CALL = re.compile(r"\bt\(")
# A text that begins like a sentence is for people, unless it is one of these.
WORDED = re.compile(r"[A-Z][a-z].*|.*[a-z] [a-z]+ [a-z].*")
NOT_WORDS = re.compile(
    r"(dreambooth|#|\.)|(Arrow\w+|Enter|Escape|Home|End|Delete|Content-Type|Accept)$|use strict$"
)


def scripts() -> Iterator[str]:
    """The sources without comments."""
    for path in sorted(SCRIPTS.glob("*.js")):
        yield COMMENT.sub("", path.read_text(encoding="utf-8"))


def texts() -> set[str]:
    """Every text that stands in a script."""
    return {found for source in scripts() for found in TEXT.findall(source)}


def said() -> set[str]:
    """Texts that are translated on the spot, both where one of two is chosen."""
    return {found for source in scripts() for call in calls(source) for found in choices(call)}


def worded() -> set[str]:
    """Texts that read like words for people, wherever they stand."""
    return {text for text in texts() if WORDED.match(text) and not NOT_WORDS.match(text)}


def calls(source: str) -> Iterator[str]:
    """The first argument of every t(...)."""
    for begin in CALL.finditer(source):
        depth, place = 0, begin.end()
        while depth >= 0 and not (depth == 0 and source[place] == ","):
            if source[place] == '"':
                found = TEXT.match(source, place)
                assert found is not None, source[place : place + 80]
                place = found.end()
                continue
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(source[place], 0)
            place += 1
        yield source[begin.end() : place]


def choices(argument: str) -> list[str]:
    """The texts that an argument may be, without what they are chosen by."""
    compared = re.sub(r'[=!]==\s*"[^"]*"|\["[^"]*"\]|\("[^"]*"\)', "", argument)
    return TEXT.findall(compared)
