"""The words of the page in other languages, keyed by the English words.

Beside this file lies what the page itself says, in `settings` the labels and the help of settings, in
`messages` the sentences that the program says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PARTS = (FOLDER, FOLDER / "settings", FOLDER / "messages")
# What hosts call the languages; a region beside Chinese decides the writing.
NAMES = {
    "ja": "ja", "japanese": "ja",
    "ko": "ko", "korean": "ko",
    "zh": "zh-Hans", "zh-cn": "zh-Hans", "zh-hans": "zh-Hans", "zh-sg": "zh-Hans", "chinese": "zh-Hans",
}  # fmt: skip


def language_of(name: str) -> str:
    """Our name of a host's language, "" where there is no catalogue: "ja_JP" and "Japanese" are "ja"."""
    plain = name.strip().lower().replace("_", "-")
    for known in (plain, plain.split("-")[0] if not plain.startswith("zh-") else ""):
        if known in NAMES:
            return NAMES[known]
    return ""


def catalogue(name: str) -> dict[str, Any]:
    """Everything in a host's language, with the language's name; nothing more for English."""
    language = language_of(name)
    found: dict[str, Any] = {"language": language or "en"}
    for folder in PARTS if language else ():
        found |= json.loads((folder / f"{language}.json").read_text(encoding="utf-8"))
    return found


def languages() -> tuple[str, ...]:
    """Every language that there is a catalogue for."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
