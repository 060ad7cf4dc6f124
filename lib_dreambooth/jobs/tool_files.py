"""What tools made out of a model's results: a list of its own beside the log, which only runs write."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import write_text
from lib_dreambooth.runs.folder import ModelFolder

LIST = "tools.jsonl"
# Nobody makes more by hand; more is no list of ours.
LARGEST = 1 << 20


@dataclass(frozen=True)
class ToolFile:
    """A file and how it was made: "merged" or "resized". `step` and `epoch` are those of its source."""

    path: str
    kind: str
    reason: str
    step: int = 0
    epoch: float = 0.0
    time: float = 0.0
    run_id: str = ""


def tool_files(folder: ModelFolder) -> list[ToolFile]:
    """Those that were noted, in their order; lines that are none are left out."""
    try:
        with (folder.path / LIST).open("rb") as file:
            text = file.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return []
    return list(_read(text))


def note(folder: ModelFolder, path: Path, kind: str, reason: str, **values: Any) -> None:
    """Adds a file; one of the same path takes the place of the other."""
    made = ToolFile(str(path), kind, reason, time=time.time(), **values)
    kept = [one for one in tool_files(folder) if one.path != made.path]
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in (*kept, made)]
    write_text(folder.path / LIST, "".join(f"{line}\n" for line in lines))


def _read(text: str) -> Iterator[ToolFile]:
    for line in text.splitlines():
        try:
            one = ToolFile(**json.loads(line))
            texts = (one.path, one.kind, one.reason, one.run_id)
            is_good = all(isinstance(value, str) for value in texts) and one.path != ""
            numbers = (int(one.step), float(one.epoch), float(one.time))
        except (ValueError, TypeError, RecursionError):
            continue
        if is_good and all(value == value for value in numbers):
            yield one


def require_known(kind: str, kinds: tuple[str, ...]) -> None:
    """Raises UserError for results that a tool does not take."""
    if kind not in kinds:
        raise UserError(
            "is not a file that this can be done with.",
            where=kind,
            todo=f"Choose one of: {', '.join(kinds)}.",
            code="wrong-kind",
        )
