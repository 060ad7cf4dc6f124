"""Tags inside a caption: where they begin and end, and when two spellings are the same tag."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

ESCAPED_BRACKET = re.compile(r"\\([()\[\]{}])")
# Faces made of punctuation keep their underscores: here they are no spaces.
FACES = frozenset(
    {
        "0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3", "6_9", ">_o", "@_@",
        "^_^", "o_o", "u_u", "x_x", "|_|", "||_||",
    }
)  # fmt: skip


def split_tags(text: str, separator: str = ",", keep_brackets: bool = False) -> list[str]:
    """The tags of a caption without outer spaces and without empty ones.

    `keep_brackets` leaves `(red hat, scarf:1.2)` whole, for captions whose brackets are weights.
    """
    pieces = _split_outside_brackets(text, separator) if keep_brackets else _split(text, separator)
    return [piece.strip() for piece in pieces if piece.strip()]


def join_tags(tags: Sequence[str], separator: str = ",") -> str:
    """Tags with the separator and, unless it is a space itself, a space between them."""
    return glue(separator).join(tags)


def glue(separator: str) -> str:
    """What stands between two tags when they are written."""
    return f"{separator.strip()} " if separator.strip() else " "


def tag_key(tag: str) -> str:
    """One spelling for a tag: `Long_Hair`, `long hair` and `long  hair` are the same, `\\(` is `(`."""
    plain = ESCAPED_BRACKET.sub(r"\1", tag).casefold().strip()
    return plain if plain in FACES else " ".join(plain.replace("_", " ").split())


def without_tags(text: str, tags: Collection[str], separators: Sequence[str]) -> str:
    """`text` without `tags`, everything else as written; `separators` from the outermost inwards.

    A separator that is empty is passed over.
    """
    keys = {tag_key(tag) for tag in tags} - {""}
    if not keys:
        return text
    kept = _without(text, keys, [separator for separator in separators if separator])
    return "" if kept is None else kept.strip()


def with_tags(text: str, tags: Sequence[str], separator: str = ",", in_front: bool = False) -> str:
    """`text` with those of `tags` that it lacks, in front or behind; the rest stays as written."""
    present = {tag_key(tag) for tag in split_tags(text, separator)}
    missing = join_tags([tag for tag in tags if tag_key(tag) not in present], separator)
    if not missing or not text.strip():
        return missing or text
    if in_front:
        return missing + glue(separator) + text.lstrip()
    kept = text.rstrip()
    # A list that ends with its separator needs no second one.
    return kept + (" " if kept.endswith(separator.strip() or " ") else glue(separator)) + missing


def _without(text: str, keys: set[str], separators: Sequence[str]) -> str | None:
    if not separators:
        return None if tag_key(text) in keys else text
    pieces = [_without(piece, keys, separators[1:]) for piece in _split(text, separators[0])]
    kept = [piece for piece in pieces if piece is not None]
    return separators[0].join(kept) if kept else None


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else [text]


def _split_outside_brackets(text: str, separator: str) -> list[str]:
    pieces: list[str] = []
    depth = 0
    for piece in _split(text, separator):
        if depth > 0:
            pieces[-1] += separator + piece
        else:
            pieces.append(piece)
        depth = max(0, depth + _opened(piece))
    # A bracket that never closes is no group, as in ">:(".
    return pieces if depth == 0 else _split(text, separator)


def _opened(piece: str) -> int:
    bare = ESCAPED_BRACKET.sub("", piece)
    return bare.count("(") + bare.count("[") - bare.count(")") - bare.count("]")
