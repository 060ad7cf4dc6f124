"""The words of the page in other languages: one file each, keyed by the English words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
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
    """Words, labels and help in a host's language, with the language's name; empty for English."""
    language = language_of(name)
    if not language:
        return {"language": "en"}
    text = (FOLDER / f"{language}.json").read_text(encoding="utf-8")
    return {"language": language, **json.loads(text)}


def languages() -> tuple[str, ...]:
    """Every language that there is a catalogue for."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
