"""The one thread of a process that trains: takes from the queue, runs, and is gone when nothing waits."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import ADAPTERS, CHECKPOINTS, EMBEDDINGS, Host
from lib_dreambooth.jobs.entries import Entry, finished
from lib_dreambooth.jobs.queue import Queue
from lib_dreambooth.jobs.tasks import Tasks
from lib_dreambooth.runs.commands import Command, CommandBox, StopAfterStep, leave
from lib_dreambooth.runs.events import FAILED, Event, Saved
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import holder_of

if TYPE_CHECKING:
    from lib_dreambooth.jobs.training import TrainingJob

log = logging.getLogger(__name__)
NAME = "dreambooth-worker"


class Worker:
    """Runs what waits in the queue of a host's models, one after the other, in a thread of its own.

    `host` may be replaced while a run is under way: the run keeps the one that it was lent the card by.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.queue = Queue(host.paths.dreambooth)
        self.tasks = Tasks()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._current: tuple[Entry, CommandBox] | None = None
        self.queue.settle()

    @property
    def current(self) -> Entry | None:
        """What is under way in this process."""
        found = self._current
        return found[0] if found is not None else None

    def add(self, entry: Entry) -> Entry:
        """Queues a run; it begins at once where nothing else is under way."""
        added = self.queue.add(entry)
        self.wake()
        return added

    def wake(self) -> None:
        """Looks into the queue, now or when the current run has ended."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=NAME, daemon=True)
                self._thread.start()

    def release(self, entry_id: str = "") -> None:
        """Lets one or all of what was held back begin."""
        self.queue.release(entry_id)
        self.wake()

    def tell(self, folder: ModelFolder, command: Command) -> None:
        """Gives a command to the run of a model, here or in another process; raises UserError."""
        found = self._current
        if found is not None and found[0].model == folder.name:
            found[1].send(command)
            return
        holder = holder_of(folder.path)
        if holder is None or holder.is_this_process:
            raise UserError(
                "nothing is running for this model.",
                where=folder.name,
                todo="Start it first.",
                code="not-running",
            )
        leave(folder.inbox_dir, command)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until nothing is left to do; whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return self._thread is None

    def close(self, timeout_s: float = 60.0) -> bool:
        """Before the program ends: the current run stops after its step and saves, what waits stays."""
        found = self._current
        if found is not None:
            self.queue.stop_after(True)
            found[1].send(StopAfterStep())
        return self.wait(timeout_s)

    def _work(self) -> None:
        while True:
            entry = self._next()
            if entry is None:
                return
            self._run(*entry)

    def _next(self) -> tuple[Entry, CommandBox] | None:
        with self._lock:
            try:
                entry = self.queue.take()
            except UserError:
                # A full disk or a lost drive: what waits is there when somebody asks again.
                log.exception("the queue could not be read")
                entry = None
            self._current = (entry, CommandBox()) if entry is not None else None
            if entry is None:
                self._thread = None
            return self._current

    def _run(self, entry: Entry, box: CommandBox) -> None:
        host = self.host
        try:
            ended = self._train(host, entry, box)
        except UserError as error:
            ended = finished(entry, FAILED, problem=error.to_json())
        except Exception as error:  # the edge of a job: the next one runs whatever became of this one
            log.exception("the run of %s failed", entry.model)
            told = f"something went wrong that should not ({type(error).__name__}: {str(error)[:300]})."
            problem = UserError(
                told, where=entry.model, todo="The log has the details.", code="internal-error"
            )
            ended = finished(entry, FAILED, problem=problem.to_json())
        self._current = None
        try:
            self.queue.update(ended)
        except UserError:
            log.exception("the end of the run of %s could not be noted", entry.model)

    def _train(self, host: Host, entry: Entry, box: CommandBox) -> Entry:
        # Only here: a WebUI that trains nothing never imports the engine.
        from lib_dreambooth.jobs.orders import job_of

        job = job_of(host, entry)
        job.box = box
        job.listeners = (*job.listeners, Refresher(host))
        self._note(replace(entry, run_id=job.run_id), box)
        with host.lend_gpu():
            return self._ended(entry, job)

    def _ended(self, entry: Entry, job: TrainingJob) -> Entry:
        ended = job.run()
        return finished(entry, ended.outcome, step=ended.step, run_id=job.run_id)

    def _note(self, entry: Entry, box: CommandBox) -> None:
        self._current = (entry, box)
        self.queue.update(entry)


class Refresher:
    """Has the host list what a run saved where the host looks."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def __call__(self, event: Event) -> None:
        if isinstance(event, Saved):
            for kind in dict.fromkeys(kind_at(Path(path), self.host) for path in event.paths):
                if kind:
                    self.host.refresh(kind)


def kind_at(path: Path, host: Host) -> str:
    """What the host lists files of this place as; empty for places of our own."""
    paths = host.paths
    places = {EMBEDDINGS: paths.embeddings, CHECKPOINTS: paths.checkpoints, ADAPTERS: paths.adapters}
    return next((kind for kind, place in places.items() if path.is_relative_to(place)), "")
