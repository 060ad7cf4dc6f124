"""Previews over time: each prompt in a row, each step in a column."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.health.measures import fitted
from lib_dreambooth.data.pictures.decoding import decode
from lib_dreambooth.jobs.report.curves import spread
from lib_dreambooth.jobs.report.document import Gallery, Picture
from lib_dreambooth.jobs.report.parts import Part
from lib_dreambooth.runs.events import Sampled
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.training.export.privacy import without_paths

log = logging.getLogger(__name__)
MOST_COLUMNS, MOST_ROWS = 8, 24
SIDE_PX, QUALITY = 272, 80
LONGEST_PROMPT = 240
NEAREST = "The training picture most like"

# A prompt and which of its pictures, counted over all that were drawn at a step.
Key = tuple[str, int]


def gallery_of(folder: ModelFolder, parts: Sequence[Part]) -> Gallery | None:
    """The previews that are still there; None where there are none."""
    found: dict[int, dict[Key, Picture]] = {}
    for part in parts:
        found = {step: drawn for step, drawn in found.items() if step <= part.first_step}
        # A preview asked for by hand may come on top of a regular one: the last counts.
        for step in dict.fromkeys(event.step for event in part.of(Sampled)):
            found[step] = _drawn(folder, [event for event in part.of(Sampled) if event.step == step])
    columns = spread([step for step in sorted(found) if found[step]], MOST_COLUMNS)
    if not columns:
        return None
    keys = list(dict.fromkeys(key for step in reversed(columns) for key in found[step]))[:MOST_ROWS]
    rows = tuple((_title(key), tuple(found[step].get(key) for step in columns)) for key in keys)
    return Gallery(tuple("untouched" if step == 0 else f"step {step:,}" for step in columns), rows)


def _drawn(folder: ModelFolder, events: Sequence[Sampled]) -> dict[Key, Picture]:
    found: dict[Key, Picture] = {}
    files: set[str] = set()
    for event in events:
        counts: dict[str, int] = {}
        for number, file in enumerate(event.files):
            prompt = event.prompts[number] if number < len(event.prompts) else ""
            mark = " (average)" if "-ema-" in PurePosixPath(file).name else ""
            concept = event.concepts[number] if number < len(event.concepts) else ""
            title = without_paths(f"{concept}: {prompt}" if concept else prompt) + mark
            counts[title] = counts.get(title, 0) + 1
            picture = _picture(folder, file)
            if picture is not None and file not in files:
                files.add(file)
                found[(title, counts[title])] = picture
                nearest = _picture(folder, event.nearest[number]) if number < len(event.nearest) else None
                if nearest is not None:
                    found[(f"{NEAREST} {title}", counts[title])] = nearest
    return found


def _title(key: Key) -> str:
    prompt, number = key
    prompt = prompt if len(prompt) <= LONGEST_PROMPT else f"{prompt[: LONGEST_PROMPT - 1]}…"
    return f"{prompt} #{number}" if number > 1 else prompt or "(empty)"


def _picture(folder: ModelFolder, told: str) -> Picture | None:
    """Only files below the model folder are shown: they move with it, and their links say nothing else."""
    parts = PurePosixPath(told).parts
    if not parts or PurePosixPath(told).is_absolute() or ".." in parts or "\\" in told or ":" in told:
        return None
    path = folder.path.joinpath(*parts)
    return Picture(path, f"../{PurePosixPath(*parts)}") if path.is_file() else None


def small(path: Path) -> str:
    """A picture as a small JPEG in a data address; empty where it cannot be read."""
    try:
        data = io.BytesIO()
        fitted(decode(str(path)).rgb, SIDE_PX).save(data, "JPEG", quality=QUALITY)
    except (UserError, OSError, ValueError) as error:
        log.warning("a preview is left out of the report: %s", error)
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
