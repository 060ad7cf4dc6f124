"""The files that a run wrote: what the log says of them, and what of it is still there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.hashing import sha256_of
from lib_dreambooth.jobs.report.document import Table
from lib_dreambooth.jobs.report.parts import STATE, Part
from lib_dreambooth.jobs.report.words import NONE, counted, size
from lib_dreambooth.runs.events import Saved
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.manifests import manifest_of
from lib_dreambooth.training.export.privacy import name_only
from lib_dreambooth.training.export.result import EMBEDDING

HASH_DIGITS = 10
KINDS = {
    "result": "Result",
    EMBEDDING: "Embedding",
    "checkpoint": "Checkpoint",
    "diffusers": "Diffusers folder",
    STATE: "State",
}
GONE = "no longer there"
HEAD = ("Name", "What", "Step", "Epoch", "Size", "SHA-256", "")


def table_of_files(folder: ModelFolder, parts: Sequence[Part]) -> Table:
    """Files for use in the order of writing, then the states that are left. Reads files for their hashes."""
    told: dict[str, Saved] = {}
    for part in parts:
        for event in part.of(Saved):
            for path in event.paths:
                told.pop(path, None)
                told[path] = event
    files = [_row(folder, path, event) for path, event in told.items() if event.what != STATE]
    states = [
        _row(folder, path, event)
        for path, event in told.items()
        if event.what == STATE and _place(folder, path).is_dir()
    ]
    return Table(HEAD, (*files, *states), frozenset({2, 3, 4}))


def _row(folder: ModelFolder, told: str, event: Saved) -> tuple[str, ...]:
    path = _place(folder, told)
    digest, num_bytes, remark = NONE, event.num_bytes, ""
    try:
        if path.is_dir():
            found = [one for one in path.rglob("*") if one.is_file()]
            num_bytes = sum(one.stat().st_size for one in found)
            digest = _hash_of_state(path) or NONE
            remark = f"a folder of {counted(len(found), 'file')}"
        elif path.is_file():
            num_bytes, digest = path.stat().st_size, sha256_of(path)
        else:
            remark = GONE
    except OSError:
        remark = "cannot be read"
    name = name_only(told) or NONE
    step, epoch = f"{event.step:,}", f"{event.epoch:.1f}"
    return name, KINDS.get(event.what, event.what), step, epoch, size(num_bytes), digest[:HASH_DIGITS], remark


def _hash_of_state(path: Path) -> str:
    """That of its tensors."""
    manifest = manifest_of(path)
    digests = (
        [digest for name, digest in manifest.files.items() if name.endswith(".safetensors")]
        if manifest
        else []
    )
    return digests[0].sha256 if digests else ""


def _place(folder: ModelFolder, told: str) -> Path:
    """Where a path of an event leads; those below the model folder stand there without it."""
    return folder.path / told
