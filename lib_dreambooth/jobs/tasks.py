"""Short work beside the runs: one after the other in a thread, shown while it goes on, stopped when asked."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from lib_dreambooth.base.errors import Cancelled, UserError

log = logging.getLogger(__name__)
NAME = "dreambooth-tasks"
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
OVER = (DONE, FAILED, CANCELLED)
# Older ones that are over are forgotten.
KEPT = 30
MOST_WAITING = 20


@dataclass(frozen=True)
class Task:
    """`answer` is what came of it; `problem` the error's JSON; `model` is empty for work on folders."""

    id: str
    kind: str
    title: str
    model: str = ""
    status: str = WAITING
    done: int = 0
    total: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    problem: dict[str, Any] | None = None
    added: float = 0.0
    ended: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return dict(self.__dict__)


class Watching:
    """What work says while it goes on."""

    def __init__(self, tasks: Tasks, task_id: str) -> None:
        self._tasks = tasks
        self._id = task_id

    def tell(self, done: int, total: int) -> None:
        """So much is done; raises Cancelled where a stop was asked for."""
        if self.should_stop():
            raise Cancelled
        self.count(done, total)

    def count(self, done: int, total: int) -> None:
        """So much is done, for work that looks for a stop by itself."""
        self._tasks.change(self._id, done=done, total=total)

    def should_stop(self) -> bool:
        """Whether somebody has cancelled it."""
        return self._tasks.is_cancelled(self._id)


Work = Callable[[Watching], dict[str, Any]]


class Tasks:
    """All of them, of one process. The thread is there while there is work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._work: dict[str, Work] = {}
        self._cancelled: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(self, kind: str, title: str, work: Work, model: str = "") -> Task:
        """Begins it, or puts it behind those that wait; raises UserError where there are too many."""
        task = Task(secrets.token_hex(8), kind, title, model, added=time.time())
        with self._lock:
            if len(self._work) >= MOST_WAITING:
                raise UserError(
                    "too much is waiting already.", where=title, todo="Wait for it.", code="queue-full"
                )
            self._tasks[task.id], self._work[task.id] = task, work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
                self._thread.start()
        return task

    def all(self) -> list[Task]:
        """The newest first."""
        with self._lock:
            return list(self._tasks.values())[::-1]

    def task(self, task_id: str) -> Task:
        """One of them; raises UserError."""
        found = self._tasks.get(task_id)
        if found is None:
            raise UserError(
                "there is no such task (any more).",
                where=task_id[:40],
                todo="Look at the list again.",
                code="no-such-entry",
            )
        return found

    def cancel(self, task_id: str) -> Task:
        """Stops it at its next step, or forgets it where it is over."""
        task = self.task(task_id)
        with self._lock:
            if task.is_over:
                self._tasks.pop(task_id, None)
            else:
                self._cancelled.add(task_id)
        return task

    def is_cancelled(self, task_id: str) -> bool:
        return task_id in self._cancelled

    def change(self, task_id: str, **values: Any) -> None:
        """Other values of a task that is there."""
        with self._lock:
            found = self._tasks.get(task_id)
            if found is not None:
                self._tasks[task_id] = replace(found, **values)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until nothing is left to do; whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return self._thread is None

    def _run(self) -> None:
        while True:
            with self._lock:
                task_id = next(iter(self._work), None)
                if task_id is None:
                    self._thread = None
                    self._forget()
                    return
                work = self._work[task_id]
            self.change(task_id, status=RUNNING)
            self.change(task_id, ended=time.time(), **self._ended(task_id, work))
            with self._lock:
                # Until now, so that the thread is not gone before the end is told.
                del self._work[task_id]

    def _ended(self, task_id: str, work: Work) -> dict[str, Any]:
        watching = Watching(self, task_id)
        try:
            if watching.should_stop():
                raise Cancelled
            return {"status": DONE, "answer": work(watching)}
        except Cancelled:
            return {"status": CANCELLED}
        except UserError as error:
            return {"status": FAILED, "problem": error.to_json()}
        except Exception as error:  # the edge of a job: the next one runs whatever became of this one
            log.exception("a task failed")
            told = f"something went wrong that should not ({type(error).__name__}: {str(error)[:300]})."
            problem = UserError(told, todo="The log has the details.", code="internal-error")
            return {"status": FAILED, "problem": problem.to_json()}

    def _forget(self) -> None:
        over = [task.id for task in self._tasks.values() if task.is_over]
        for task_id in over[: -KEPT or None]:
            del self._tasks[task_id]
        self._cancelled &= self._tasks.keys()
