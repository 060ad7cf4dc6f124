"""What stands beside a file: the card that hosts read, and the picture that they show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.files import write_bytes, write_text
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.metadata import trigger_text
from lib_dreambooth.training.export.privacy import without_paths
from lib_dreambooth.training.export.result import (
    ADAPTER,
    CARD,
    EMBEDDING,
    PREVIEW,
    Result,
    beside,
    stem_of,
)

# As the Lora page of the WebUI calls the families.
CARD_VERSIONS = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"}


def card(run: Run, family: str, result: Result, called: Mapping[str, str]) -> dict[str, Any]:
    """What Extra networks shows and puts into the prompt, under the WebUI's names.

    `called` says what prompts call words that have files of their own.
    """
    about = run.metadata
    has_words = about.content != "none"
    found: dict[str, Any] = {
        "description": without_paths(about.description) if has_words else "",
        "notes": without_paths(about.comment) if has_words else "",
    }
    if result.kind == EMBEDDING:
        # The WebUI goes by the file's name; people and other programs read it here.
        return {**found, "sd version": CARD_VERSIONS[family], "activation text": stem_of(result.path)}
    if result.kind != ADAPTER:
        return found
    return {
        **found,
        "sd version": CARD_VERSIONS[family],
        "activation text": trigger_text(run, called),
        "preferred weight": about.weight,
        "negative text": about.negative_text,
    }


def write_card(path: Path, content: dict[str, Any]) -> None:
    """The JSON file beside a result."""
    write_text(beside(path, CARD), json.dumps(content, ensure_ascii=False, indent=4) + "\n")


def write_preview(path: Path, png: bytes) -> None:
    """The picture beside a result."""
    write_bytes(beside(path, PREVIEW), png)
