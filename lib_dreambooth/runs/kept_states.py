"""Which states there are, which is the newest whole one, and taking old ones away."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.runs.manifests import Manifest, manifest_of, problem_of
from lib_dreambooth.runs.states import SCALARS, TENSORS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedState:
    """A state by its folder; `lineage`, `step` and `written` give its place in the order."""

    path: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        return self.manifest.step

    @property
    def lineage(self) -> int:
        return self.manifest.lineage

    @property
    def num_bytes(self) -> int:
        return sum(digest.num_bytes for digest in self.manifest.files.values())


@dataclass(frozen=True)
class Damaged:
    """A state that cannot be gone on from, and why."""

    path: Path
    why: str

    def sentence(self) -> str:
        return f"the state {self.path.name} is damaged and was passed over: {self.why}."


@dataclass(frozen=True)
class Newest:
    """The state to go on from, if there is one, and the newer ones that were passed over."""

    state: SavedState | None
    damaged: tuple[Damaged, ...]


def all_states(states_dir: Path) -> tuple[list[SavedState], list[Damaged]]:
    """Every state by what it says of itself, newest first, and those that say nothing. Opens no tensors."""
    found, silent = [], []
    for path in _folders(states_dir):
        manifest = manifest_of(path)
        if manifest is None:
            silent.append(Damaged(path, "its manifest is missing or makes no sense"))
        else:
            found.append(SavedState(path, manifest))
    return sorted(found, key=lambda state: state.manifest.order, reverse=True), silent


def newest_whole(states_dir: Path) -> Newest:
    """The newest state whose files have the hashes of its manifest; none is ever deleted here."""
    states, damaged = all_states(states_dir)
    for state in states:
        problem = problem_of(state.path, state.manifest)
        if not problem:
            return Newest(state, tuple(damaged))
        damaged.append(Damaged(state.path, problem))
    return Newest(None, tuple(damaged))


def checked(path: Path) -> SavedState:
    """A state that somebody chose, after a look at its hashes; raises FileError."""
    manifest = manifest_of(path)
    problem = "its manifest is missing or makes no sense"
    if manifest is not None:
        problem = problem_of(path, manifest)
        if not problem:
            return SavedState(path, manifest)
    raise FileError(
        f"this state is damaged: {problem}.",
        where=str(path),
        todo="Go on from another state, or start over.",
        code="damaged-state",
    )


def read_state(state: SavedState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and scalars of a state; nothing of it stays open."""
    try:
        scalars = json.loads((state.path / SCALARS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"cannot be read ({error}).",
            where=str(state.path / SCALARS),
            todo="Go on from another state.",
            code="damaged-state",
        ) from error
    with open_tensors(state.path / TENSORS) as file:
        return file.read_all(), scalars


def next_lineage(states_dir: Path) -> int:
    """The number for a run that starts over, or leaves from a state that is not the newest."""
    states, _ = all_states(states_dir)
    return max((state.lineage for state in states), default=-1) + 1


def prune(states_dir: Path, keep: int, *, trusted: Path | None = None) -> list[Path]:
    """Removes states beyond the newest `keep` and what killed writers left; gives what was removed.

    The newest whole one always stays, and damaged ones do for whoever wants to look. `trusted` is a state
    that this process has just written, which need not be read again to know it is whole.
    """
    assert keep >= 1
    remove_leftovers(states_dir)
    states, _ = all_states(states_dir)
    is_safe = False
    kept = 0
    removed: list[Path] = []
    for state in states:
        if problem_of(state.path, state.manifest, thorough=not is_safe and state.path != trusted):
            continue
        is_safe = True
        kept += 1
        if kept > keep and _remove(state.path):
            removed.append(state.path)
    return removed


def remove_leftovers(states_dir: Path) -> None:
    """Removes folders that a killed process left half-written or half-removed."""
    for path in states_dir.glob(".*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> bool:
    # Renamed first: what is killed half-way then looks like a leftover and not like damage.
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.rename(temporary)
    except OSError as error:
        log.info("the state %s stays for now: %s", path.name, error)
        return False
    shutil.rmtree(temporary, ignore_errors=True)
    return True


def _folders(states_dir: Path) -> list[Path]:
    try:
        return [path for path in states_dir.glob("step-*") if path.is_dir()]
    except OSError:
        return []
