"""What the runs of a model made, told by ids: files for use, and previews.

A log is only text that lies in a folder: nothing is read, copied or removed because a path stands in it. The
place that the path leads to, with all links followed, has to be one of ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import Host
from lib_dreambooth.jobs.earlier import kind_of
from lib_dreambooth.jobs.tool_files import tool_files
from lib_dreambooth.runs.events import Event, Sampled, Saved, Started
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.files import load_text, review_text
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.result import CARD, PREVIEW, beside, stem_of

STATE = "state"
LARGEST_CARD = 1 << 20
ID_BYTES = 12
PICTURE_ENDINGS = (".png",)
RESULT_ENDINGS = (".safetensors", ".pt", ".ckpt")


@dataclass(frozen=True)
class Made:
    """A file for use (a folder for diffusers) that is there; `is_ours`: it lies where we may touch it."""

    id: str
    path: Path
    kind: str
    step: int
    epoch: float
    num_bytes: int
    time: float
    reason: str
    run_id: str
    is_ours: bool

    @property
    def preview(self) -> Path:
        return beside(self.path, PREVIEW)


@dataclass(frozen=True)
class Sample:
    """A preview that is there; `nearest_id` is the training picture most like it, empty for none."""

    id: str
    path: Path
    step: int
    epoch: float
    prompt: str
    concept: str
    time: float
    run_id: str
    nearest_id: str


def id_of(path: Path | str) -> str:
    """A name for a file that says nothing of where it is, the same in every process."""
    return hashlib.blake2b(str(path).encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).hexdigest()


def results_in(folder: ModelFolder, host: Host) -> list[Made]:
    """The files for use that are still there, in their order; a file that was told twice counts once."""
    found: dict[Path, Made] = {}
    for started, event in with_start(told_in(folder)):
        if not isinstance(event, Saved) or event.what == STATE:
            continue
        run = run_of(folder, started)
        roots = roots_of(host, folder, run)
        for told in event.paths:
            path = Path(told)
            if not path.is_absolute() or not path.exists():
                continue
            found[path] = Made(
                id=id_of(path),
                path=path,
                kind=kind_of(event.what, run) if run is not None else event.what,
                step=event.step,
                epoch=event.epoch,
                num_bytes=event.num_bytes,
                time=event.time,
                reason=event.reason,
                run_id=started.run_id if started else "",
                is_ours=is_inside(path, roots) and (path.is_dir() or path.suffix in RESULT_ENDINGS),
            )
    for made in made_by_tools(folder, host):
        found[made.path] = made
    return list(found.values())


def made_by_tools(folder: ModelFolder, host: Host) -> Iterator[Made]:
    """What tools made of the results of its runs."""
    roots = roots_of(host, folder, None)
    for one in tool_files(folder):
        path = Path(one.path)
        if path.is_absolute() and path.is_file() and path.suffix in RESULT_ENDINGS:
            yield Made(
                id=id_of(path),
                path=path,
                kind=one.kind,
                step=one.step,
                epoch=one.epoch,
                num_bytes=path.stat().st_size,
                time=one.time,
                reason=one.reason,
                run_id=one.run_id,
                is_ours=is_inside(path, roots),
            )


def samples_in(folder: ModelFolder) -> list[Sample]:
    """The previews that are still there, in their order."""
    found: dict[Path, Sample] = {}
    for started, event in with_start(told_in(folder)):
        if not isinstance(event, Sampled):
            continue
        for number, told in enumerate(event.files):
            path = picture_in(folder, told)
            if path is None:
                continue
            nearest = picture_in(folder, at(event.nearest, number))
            found[path] = Sample(
                id=id_of(path.relative_to(folder.path).as_posix()),
                path=path,
                step=event.step,
                epoch=event.epoch,
                prompt=at(event.prompts, number),
                concept=at(event.concepts, number),
                time=event.time,
                run_id=started.run_id if started else "",
                nearest_id=id_of(nearest.relative_to(folder.path).as_posix()) if nearest else "",
            )
    return list(found.values())


def picture_of(folder: ModelFolder, host: Host, file_id: str) -> Path:
    """The picture of an id: a preview, what it is most like, or the one beside a result; raises UserError."""
    for path in folder.samples_dir.rglob("*"):
        told = folder.inside(path)
        if id_of(told) == file_id and picture_in(folder, told) is not None:
            return path
    for made in results_in(folder, host):
        preview = made.preview
        is_meant = made.is_ours and id_of(preview) == file_id
        if is_meant and preview.is_file() and is_inside(preview, [made.path.parent]):
            return preview
    raise no_such_file(file_id)


def result_of(folder: ModelFolder, host: Host, file_id: str) -> Made:
    """The result of an id that we may touch; raises UserError."""
    found = next((made for made in results_in(folder, host) if made.id == file_id and made.is_ours), None)
    if found is None:
        raise no_such_file(file_id)
    return found


def no_such_file(file_id: str) -> UserError:
    """The sentence for an id that nothing has (any more)."""
    return UserError(
        "there is no such file of this model (any more).",
        where=file_id[:40],
        todo="Look at the list of its files again.",
        code="no-such-file",
    )


def told_in(folder: ModelFolder) -> Sequence[Event]:
    """Starts, saves and previews of all runs of a model."""
    try:
        stat = folder.events_path.stat()
    except OSError:
        return ()
    return told_at(folder.events_path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def told_at(path: Path, size: int, modified_ns: int) -> Sequence[Event]:
    """The same of a log as it was then: steps are many, and nobody here asks for them."""
    return tuple(event for event in read_events(path) if isinstance(event, (Started, Saved, Sampled)))


def with_start(events: Sequence[Event]) -> Iterator[tuple[Started | None, Event]]:
    """Each event with the start of the run that it belongs to."""
    started: Started | None = None
    for event in events:
        started = event if isinstance(event, Started) else started
        yield started, event


def run_of(folder: ModelFolder, started: Started | None) -> Run | None:
    """The settings of a start, from its copy in the model folder."""
    if started is None or not started.settings_file:
        return None
    path = folder.path / started.settings_file
    return read_run(path) if is_inside(path, [folder.path]) else None


@lru_cache(maxsize=64)
def read_run(path: Path) -> Run | None:
    """The run of a settings file; copies of runs are never written over."""
    try:
        return review_text(load_text(path), path.name).sourced.run
    except UserError:
        return None


def roots_of(host: Host, folder: ModelFolder, run: Run | None) -> list[Path]:
    """The folders that a run's files may lie in."""
    paths = host.paths
    roots = [folder.path, paths.adapters, paths.checkpoints, paths.embeddings, paths.diffusers]
    own = run.saving.folder.strip() if run is not None else ""
    return [*roots, Path(own)] if own and host.settings.may_name_folders else roots


def is_inside(path: Path, roots: Sequence[Path]) -> bool:
    """Whether the place that a path leads to, links followed, lies below one of some folders."""
    try:
        real = path.resolve()
        return any(root.resolve() in real.parents for root in roots)
    except (OSError, RuntimeError, ValueError):
        return False


def picture_in(folder: ModelFolder, told: str) -> Path | None:
    """A picture that is told of, if it lies below the model folder and is no link out of it."""
    path = folder.path / told
    try:
        is_there = bool(told) and path.suffix in PICTURE_ENDINGS and path.is_file()
    except (OSError, ValueError):
        return None
    if not is_there or ".." in path.parts or Path(told).is_absolute():
        return None
    return path if is_inside(path, [folder.path]) else None


def at(values: Sequence[str], number: int) -> str:
    """A value of lists that go together, "" where one is shorter."""
    return values[number] if number < len(values) else ""


def card_of(path: Path) -> dict[str, Any]:
    """What the card beside a file says; empty where there is none that makes sense."""
    try:
        with beside(path, CARD).open("rb") as file:
            found = json.loads(file.read(LARGEST_CARD).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def shown(made: Made) -> dict[str, Any]:
    """A result as pages and programs are told of it."""
    has_preview = made.is_ours and made.preview.is_file()
    return {
        "id": made.id,
        "name": stem_of(made.path),
        "file": made.path.name,
        "kind": made.kind,
        "step": made.step,
        "epoch": made.epoch,
        "num_bytes": made.num_bytes,
        "time": made.time,
        "reason": made.reason,
        "run_id": made.run_id,
        "is_ours": made.is_ours,
        "preview_id": id_of(made.preview) if has_preview else "",
    }


def sample_shown(sample: Sample) -> dict[str, Any]:
    """A preview as pages and programs are told of it."""
    return {name: value for name, value in sample.__dict__.items() if name != "path"}
