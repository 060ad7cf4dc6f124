"""Which of the outside logs a run has: those asked for that work; the others are a warning."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs.events import Event, Warned
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import entries
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.logs.tensorboard import TensorBoardLog
from lib_dreambooth.training.logs.wandb import WandbLog

logger = logging.getLogger(__name__)


class OutsideLog(Protocol):
    """A listener with an end."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


@contextlib.contextmanager
def outside_logs(
    run: Run, log: EventLog, *, model_name: str, logs_dir: Path, run_id: str
) -> Iterator[list[OutsideLog]]:
    """For the block, the logs that the settings ask for hear every event. None of them can end a run."""
    made = list(_made(run, log, model_name, logs_dir, run_id))
    stops = [log.listen(one) for one in made]
    try:
        yield made
    finally:
        for stop, one in zip(stops, made, strict=True):
            stop()
            _closed(one, log)


def _made(run: Run, log: EventLog, model_name: str, logs_dir: Path, run_id: str) -> Iterator[OutsideLog]:
    wishes = run.logging
    asked: list[tuple[str, Callable[[], OutsideLog]]] = []
    if wishes.tensorboard:
        folder = Path(wishes.folder) / model_name if wishes.folder else logs_dir
        text = text_of(Sourced(run), only_changed=True)
        asked.append(("logging.tensorboard", lambda: TensorBoardLog(folder / run_id, text)))
    if wishes.wandb:
        name = wishes.wandb_run or model_name
        asked.append(
            ("logging.wandb", lambda: WandbLog(wishes.wandb, name, logs_dir, shareable(run), run_id))
        )
    for where, make in asked:
        try:
            yield make()
        except UserError as error:
            log.emit(Warned(text=f"{error.what} {error.todo}".strip(), where=error.where, code=error.code))
        except Exception as error:  # others' code, which some versions of protobuf break on import
            logger.exception("a log for another program could not be started")
            text = f"this log does not work here: {error}. The run goes on without."
            log.emit(Warned(text=text, where=where, code="log-not-started"))


def _closed(one: OutsideLog, log: EventLog) -> None:
    try:
        one.close()
    except Exception as error:  # noqa: BLE001 - others' code; the run is over and its result stands
        where = type(one).__name__
        log.emit(Warned(text=f"the last points may be missing: {error}", where=where, code="log-not-closed"))


def shareable(run: Run) -> dict[str, Any]:
    """Settings without paths: a path carries the user's name."""
    return {
        path: plain(value) for path, field, value in entries(run) if not field.option.picks and value != ""
    }
