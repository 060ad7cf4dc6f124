"""A whole model taken away: its folder with states, previews and logs; files for use stay where they are."""

from __future__ import annotations

import shutil

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs.queue import Queue
from lib_dreambooth.runs.folder import CARD, ModelFolder
from lib_dreambooth.runs.lock import held


def remove_model(folder: ModelFolder, queue: Queue) -> None:
    """Takes it away; raises UserError where it is in use, waits for its turn, or is a link to elsewhere."""
    if folder.path.is_symlink():
        raise UserError(
            "is a link to another place.",
            where=folder.name,
            todo="Remove the link, and what it leads to, by hand.",
            code="not-allowed",
        )
    if any(entry.model == folder.name for entry in queue.line().waiting):
        raise UserError(
            "a run of this model waits in the queue.",
            where=folder.name,
            todo="Take it out first.",
            code="model-in-use",
        )
    try:
        with held(folder.path, "removing"):
            # Without its card it is no model any more, wherever this is broken off.
            (folder.path / CARD).unlink()
        shutil.rmtree(folder.path)
    except OSError as error:
        raise UserError(
            f"could not be removed as a whole ({error.strerror or error}).",
            where=str(folder.path),
            todo="Close the programs that use it, then remove the rest by hand.",
            code="not-writable",
        ) from error
