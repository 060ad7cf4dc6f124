"""Which run a model folder is busy with. It is noted before the first event, so that no kill can hide it."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass

from lib_dreambooth.base.files import write_json
from lib_dreambooth.runs.folder import ModelFolder

NAME = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """`id` and `lineage` stay the same when the run is gone on with.

    `settings` is the copy of its settings below the model folder, `after` the number of the last event that
    was told before this start of it.
    """

    id: str
    lineage: int
    settings: str
    after: int


def new_run_id() -> str:
    """Sixteen letters that no other run has."""
    return f"{secrets.randbits(64):016x}"


def write_record(folder: ModelFolder, record: RunRecord) -> None:
    """Notes the run, whole or not at all."""
    write_json(folder.path / NAME, asdict(record))


def read_record(folder: ModelFolder) -> RunRecord | None:
    """The run that was begun or gone on with last; None where there is none, or the note makes no sense."""
    try:
        data = json.loads((folder.path / NAME).read_text(encoding="utf-8"))
        return RunRecord(str(data["id"]), int(data["lineage"]), str(data["settings"]), int(data["after"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
