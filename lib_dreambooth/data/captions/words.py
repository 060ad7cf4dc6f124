"""Whole words in text, for scripts that separate them by spaces and for those that do not.

A word ends where the script changes: 猫 stands in 白い猫が座る but not in 猫耳, バー not in ハンバーガー.
"""

from __future__ import annotations

import re
import unicodedata

SCRIPTS = ("HIRAGANA", "KATAKANA", "CJK", "HANGUL", "BOPOMOFO", "THAI")
# Marks that belong to the script on their left though their names do not say so.
KATAKANA_MARKS = "ー・ヽヾ"


def find_word(text: str, word: str, start: int = 0) -> re.Match[str] | None:
    """The first place from `start` on where `word` stands alone, whatever its case and inner spacing."""
    parts = word.split()
    if not parts:
        return None
    pattern = re.compile(r"\s+".join(re.escape(part) for part in parts), re.IGNORECASE)
    match = pattern.search(text, start)
    while match is not None and not _stands_alone(text, match.start(), match.end()):
        match = pattern.search(text, match.start() + 1)
    return match


def has_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text` as a word of its own."""
    return find_word(text, word) is not None


def find_all(text: str, word: str) -> list[re.Match[str]]:
    """Every place where `word` stands alone, none overlapping."""
    found = []
    match = find_word(text, word)
    while match is not None:
        found.append(match)
        match = find_word(text, word, match.end())
    return found


def script(char: str) -> str:
    """What kind of word a character belongs to; "" for what separates words."""
    if char in KATAKANA_MARKS:
        return "KATAKANA"
    if not (char.isalnum() or char == "_" or unicodedata.category(char).startswith("M")):
        return ""
    name = unicodedata.name(char, "")
    return next((script for script in SCRIPTS if name.startswith(script)), "LETTER")


def _stands_alone(text: str, start: int, end: int) -> bool:
    return _is_boundary(text, start) and _is_boundary(text, end)


def _is_boundary(text: str, position: int) -> bool:
    if position == 0 or position == len(text):
        return True
    before, after = script(text[position - 1]), script(text[position])
    return before != after or not before
