"""Settings with everything decided that they leave open, on the base that a model has."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.checkpoint import kind_of
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.models.families import native_side
from lib_dreambooth.models.read import require_usable
from lib_dreambooth.settings.deciding import decided
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.readiness import require_complete
from lib_dreambooth.settings.reading import check, update
from lib_dreambooth.settings.sources import DECIDED, Sourced
from lib_dreambooth.training.trainer.preparing import require_plain

SEEDS = 1 << 31


def on_base(sourced: Sourced, base: Path) -> Sourced:
    """The settings with the base of the model that they are for; raises UserError where they name another."""
    named = sourced.run.model.base
    if named and not is_same_place(Path(named), base):
        raise UserError(
            f"the settings are for another base than this model, which is trained from {base}.",
            where=f"model.base = {named}",
            todo="Leave the base out of the settings, or create a model from the other one.",
            code="other-base",
        )
    # Always by its whole path: a name below some folder says nothing when the run is gone on with elsewhere.
    return sourced if named == str(base) else update(sourced, {"model.base": str(base)}, DECIDED)


def is_same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder, whatever they are called."""
    if one.absolute() == other.absolute():
        return True
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except OSError:
        return False


def complete(sourced: Sourced) -> Sourced:
    """The settings with what was left open decided; UserError unless they are whole and fit the base."""
    return complete_with_kind(sourced)[0]


def complete_with_kind(sourced: Sourced) -> tuple[Sourced, FileKind]:
    """The same, and what the base is."""
    require_complete(sourced.run)
    kind = kind_of_base(Path(sourced.run.model.base))
    require_complete(sourced.run, kind.family)
    check(sourced, Facts(family=kind.family)).accepted()
    return decided(sourced, native_side=native_side(kind), seed=secrets.randbelow(SEEDS)), kind


def kind_of_base(base: Path) -> FileKind:
    """What a base is; raises FileError unless it can be trained. Reads no weights."""
    with open_tensors(base) as file:
        kind = kind_of(file)
    require_usable(kind, base, None)
    require_plain(kind, base)
    return kind
