"""Tools at work on a model's results: where the new file goes, what goes beside it, and that it is listed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.adapters.merging import Merge
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import ADAPTERS, CHECKPOINTS, Host
from lib_dreambooth.jobs.bases import bases_of
from lib_dreambooth.jobs.made_files import Made, id_of, results_in
from lib_dreambooth.jobs.orders import pictures_of, results_of
from lib_dreambooth.jobs.tasks import Watching
from lib_dreambooth.jobs.tool_files import note, require_known
from lib_dreambooth.jobs.trying import ADAPTER_ENDINGS, EMBEDDING_ENDINGS, Wish, files_in, job_of
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.sampling.drawing import DrawJob
from lib_dreambooth.tools.compare import compare
from lib_dreambooth.tools.merge import merge
from lib_dreambooth.tools.resize import Size, resize
from lib_dreambooth.training.export.names import LONGEST_ENDING, clean_name, shortened
from lib_dreambooth.training.export.promote import copy, require_free
from lib_dreambooth.training.export.result import (
    ADAPTER,
    CARD,
    CHECKPOINT,
    DIFFUSERS,
    EMBEDDING,
    PREVIEW,
    beside,
)

MERGED, RESIZED = "merged", "resized"
SHEETS = "comparisons"
COMPARED = (ADAPTER, EMBEDDING, CHECKPOINT, DIFFUSERS)
ENDING = ".safetensors"


@dataclass(frozen=True)
class Sheet:
    """A comparison that is there."""

    id: str
    path: Path
    time: float


def target_for(host: Host, kind: str, name: str, *, replaces: bool) -> Path:
    """Where a file of this name goes so that the host lists it; raises UserError where that is taken."""
    if not name.strip():
        raise UserError(
            "has no name.", where="name", todo="Give the new file a name.", code="missing-setting"
        )
    folder = results_of(host.paths).of(kind)
    stem = shortened(clean_name(name), folder, LONGEST_ENDING)
    target = folder / f"{stem}{ENDING}"
    require_free(folder, stem, target, replaces)
    return target


def merged(
    host: Host,
    folder: ModelFolder,
    made: Made,
    base: Path,
    files: Sequence[Merge],
    target: Path,
    watching: Watching,
    *,
    precision: str = "",
    replaces: bool = False,
) -> dict[str, Any]:
    """The checkpoint with the files in it."""
    require_known(made.kind, (ADAPTER,))
    done = merge(base, files, target, precision=precision, replaces=replaces, tell=watching.tell)
    copy_beside(made.path, target, (PREVIEW,))
    listed(folder, made, target, CHECKPOINT, MERGED)
    host.refresh(CHECKPOINTS)
    return {"id": id_of(target), "name": target.stem, "warnings": list(done.warnings)}


def resized(
    host: Host,
    folder: ModelFolder,
    made: Made,
    size: Size,
    target: Path,
    watching: Watching,
    *,
    replaces: bool = False,
) -> dict[str, Any]:
    """The same network with fewer ranks."""
    require_known(made.kind, (ADAPTER,))
    done = resize(made.path, target, size, replaces=replaces, tell=watching.tell)
    copy_beside(made.path, target, (CARD, PREVIEW))
    listed(folder, made, target, ADAPTER, RESIZED)
    host.refresh(ADAPTERS)
    return {
        "id": id_of(target),
        "name": target.stem,
        "ranks": done.ranks_text,
        "lost": done.lost,
        "num_bytes": done.num_bytes,
    }


def comparison(host: Host, wish: Wish, files: Sequence[Path]) -> DrawJob:
    """The drawing that a sheet is made of, drawn as the host draws; words and other networks of the prompt
    act on every picture, those that are compared only as often as they are compared."""
    job, pictures = job_of(host, wish), pictures_of(host)
    others = tuple(use for use in job.loras if use.path not in files)
    return dataclasses.replace(
        job, loras=others, noise_source=pictures.noise_source, clip_skip=pictures.clip_skip
    )


def compared(
    host: Host,
    folder: ModelFolder,
    job: DrawJob,
    files: Sequence[Path],
    strengths: Sequence[float],
    watching: Watching,
) -> dict[str, Any]:
    """The sheet, in the model's folder. Waits until the card is free."""
    with host.lend_gpu():
        done = compare(
            job,
            files,
            strengths,
            folder.path / SHEETS,
            tell=watching.tell,
            should_stop=watching.should_stop,
        )
    return {"id": id_of(folder.inside(done.path)), "strengths": list(done.strengths)}


def sheets_in(folder: ModelFolder) -> list[Sheet]:
    """Every comparison of a model, the newest first."""
    root = folder.path / SHEETS
    found = [path for path in root.glob("*.png") if path.is_file() and not path.is_symlink()]
    sheets = [Sheet(id_of(folder.inside(path)), path, path.stat().st_mtime) for path in found]
    return sorted(sheets, key=lambda sheet: (-sheet.time, sheet.path.name))


def sheet_of(folder: ModelFolder, sheet_id: str) -> Sheet | None:
    """The comparison of an id."""
    return next((sheet for sheet in sheets_in(folder) if sheet.id == sheet_id), None)


def adapters_of(host: Host) -> dict[str, Path]:
    """Every LoRA that the host lists, by id."""
    return {id_of(path): path for path in files_in([host.paths.adapters], ADAPTER_ENDINGS)}


def comparable(folder: ModelFolder, host: Host) -> dict[str, Path]:
    """Everything that may stand in a comparison, by id: what the host lists, and what the model made."""
    words = files_in([host.paths.embeddings], EMBEDDING_ENDINGS)
    bases = {base.id: base.path for base in bases_of(host.paths)}
    made = {one.id: one.path for one in results_in(folder, host) if one.is_ours and one.kind in COMPARED}
    return {**bases, **{id_of(path): path for path in words}, **adapters_of(host), **made}


def named_files(known: Mapping[str, Path], ids: Sequence[str]) -> list[Path]:
    """The files of some ids, in their order; raises UserError."""
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise UserError(
            "there is no such file (any more).",
            where=unknown[0][:40],
            todo="Look at the list of files again.",
            code="no-such-file",
        )
    return [known[one] for one in ids]


def copy_beside(source: Path, target: Path, endings: Sequence[str]) -> None:
    """What stands beside the old file, beside the new one."""
    for ending in endings:
        side = beside(source, ending)
        if side.is_file() and not side.is_symlink():
            copy(side, beside(target, ending))


def listed(folder: ModelFolder, made: Made, path: Path, kind: str, reason: str) -> None:
    """Notes the file among the model's results."""
    note(folder, path, kind, reason, step=made.step, epoch=made.epoch, run_id=made.run_id)
