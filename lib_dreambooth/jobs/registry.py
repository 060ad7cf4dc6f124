"""The worker of this process, found again when a WebUI runs its scripts anew."""

from __future__ import annotations

import sys
import threading
import types

from lib_dreambooth.base.host import Host
from lib_dreambooth.jobs.worker import Worker

# A module of its own in sys.modules: it outlives this package where somebody takes that out and in again, as
# long as the thread of a run does.
PLACE = "lib_dreambooth_workers"
_LOCK = threading.Lock()


def worker_for(host: Host) -> Worker:
    """The worker for a host's folder of models: the one there is, now with this host, or a new one."""
    key = str(host.paths.dreambooth.absolute())
    with _LOCK:
        workers: dict[str, Worker] = _place().__dict__.setdefault("workers", {})
        found = workers.get(key)
        if found is None:
            found = workers[key] = Worker(host)
        found.host = host
    return found


def forget(host: Host) -> None:
    """Takes out the worker of a host's folder of models; its run, if any, goes on to its end."""
    with _LOCK:
        _place().__dict__.get("workers", {}).pop(str(host.paths.dreambooth.absolute()), None)


def _place() -> types.ModuleType:
    return sys.modules.setdefault(PLACE, types.ModuleType(PLACE))
