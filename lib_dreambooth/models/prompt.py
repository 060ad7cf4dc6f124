"""The WebUI's prompt grammar: what is said, and with what weight.

`(word)` and `[word]` weigh a word 1.1 times more or less, `(word:1.3)` by that factor; a backslash makes a
bracket an ordinary sign; BREAK ends a chunk of 75 tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STRONGER = 1.1
WEAKER = 1 / 1.1

_SIGN = re.compile(
    r"""
    (?P<escape>\\[()\[\]\\]?)
    | (?P<open>[(\[])
    | :\s*(?P<weight>[+-]?[.\d]+)\s*\)
    | (?P<close>[)\]])
    | (?P<text>[^\\()\[\]:]+|:)
    """,
    re.VERBOSE,
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True)
class Piece:
    """Words of one weight, or the end of a chunk."""

    text: str
    weight: float = 1.0

    @property
    def is_break(self) -> bool:
        """Whether the chunk ends here. Inside brackets BREAK is weighed and so a word, as in the WebUI."""
        return self == BREAK


BREAK = Piece("BREAK", -1.0)


def parse_prompt(text: str, *, has_breaks: bool = True) -> list[Piece]:
    """The pieces of a prompt; neighbours of equal weight are one piece, and there is at least one.

    Without breaks, BREAK is a word like others, as in kohya's weighted captions.
    """
    pieces: list[Piece] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for match in _SIGN.finditer(text):
        kind, found = match.lastgroup, match.group(0)
        if kind == "escape":
            pieces.append(Piece(found[1:]))
        elif kind == "open":
            opened[found].append(len(pieces))
        elif kind == "weight" and opened["("] and (factor := _number(match["weight"])) is not None:
            _weigh(pieces, opened["("].pop(), factor)
        elif kind == "close" and opened[start := "(" if found == ")" else "["]:
            _weigh(pieces, opened[start].pop(), STRONGER if start == "(" else WEAKER)
        else:
            pieces += _with_breaks(found) if has_breaks else [Piece(found)]
    for start, factor in (("(", STRONGER), ("[", WEAKER)):
        for position in opened[start]:
            _weigh(pieces, position, factor)
    return _merged(pieces) or [Piece("")]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _weigh(pieces: list[Piece], start: int, factor: float) -> None:
    for index in range(start, len(pieces)):
        pieces[index] = Piece(pieces[index].text, pieces[index].weight * factor)


def _with_breaks(text: str) -> list[Piece]:
    first, *rest = _BREAK.split(text)
    pieces = [Piece(first)]
    for part in rest:
        pieces += [BREAK, Piece(part)]
    return pieces


def _merged(pieces: list[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].weight == piece.weight:
            merged[-1] = Piece(merged[-1].text + piece.text, piece.weight)
        else:
            merged.append(piece)
    return merged
