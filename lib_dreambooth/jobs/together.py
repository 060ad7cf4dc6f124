"""A run in several processes: the main one has the job, and the others take part in its steps."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import cast

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs.commands import Command
from lib_dreambooth.runs.events import DONE, Event
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.sources import DECIDED, Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.processes import Processes, device_for, join, leave
from lib_dreambooth.training.state import TrainingState
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.desk import Desk
from lib_dreambooth.training.trainer.preparing import Rooms
from lib_dreambooth.training.trainer.trainer import Trainer

log = logging.getLogger(__name__)
SETTINGS, FOLDER = "settings", "folder"


def lead(process: Processes, folder: ModelFolder, sourced: Sourced) -> None:
    """Meets the others and tells them what is trained."""
    if not process.is_alone:
        join(process)
        process.agreed({SETTINGS: text_of(sourced), FOLDER: str(folder.path)})


def follow(process: Processes) -> bool:
    """Takes part in the main process's run; gives whether it came to its end."""
    # The main process is asked to stop, and says so in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    join(process)
    said = process.agreed(None)
    run = review_text(said[SETTINGS], "settings of the run").sourced.run
    device = device_for(run.memory.device, process)
    desk = silent_desk(ModelFolder.open(Path(said[FOLDER])))
    control = Control(NoCommands(), nothing)
    try:
        return Trainer(run, device, desk, control, nothing, process=process).run().outcome == DONE
    except (RuntimeError, UserError) as error:
        # It went away, cancelled or failed, and has said why.
        log.info("the run ended with the main process: %s", error)
        return False
    finally:
        leave()


def for_processes(sourced: Sourced, state: TrainingState | None, count: int) -> Sourced:
    """The settings of a run whose state was made by another number of processes: the same total batch.

    Raises UserError where it cannot be shared out evenly.
    """
    if state is None or state.surroundings.processes == count:
        return sourced
    then = review_text(state.settings, "state.json").sourced.run.length.accumulation
    if sourced.run.length.accumulation != then:
        return sourced
    total = then * state.surroundings.processes
    if total % count:
        raise UserError(
            f"the state was made by {state.surroundings.processes} processes with {then} batches each; "
            f"{total} batches cannot be shared out among {count}.",
            where="length.accumulation",
            todo=f"Go on with a number of processes that {total} can be divided by.",
            code="several-processes",
        )
    return update(sourced, {"length.accumulation": total // count}, DECIDED)


def silent_desk(folder: ModelFolder) -> Desk:
    """The places of the main process, for somebody who writes nothing but caches."""

    return Desk(
        rooms=Rooms(folder.cache_dir, folder.class_images_dir),
        states=folder.states_dir,
        samples=folder.samples_dir,
        # Only the main process asks anything of it.
        export=lambda ready: cast("Exporter", None),
        started=lambda ready, step: Event(),
    )


class NoCommands:
    """Nobody asks this process for anything."""

    def take(self, *, look: bool = False) -> tuple[Command, ...]:
        return ()

    def wait(self, timeout_s: float) -> tuple[Command, ...]:
        return ()


def nothing(event: Event) -> None:
    """Events are told by the main process."""
