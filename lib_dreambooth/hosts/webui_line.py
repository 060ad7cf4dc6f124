"""Who waits in a WebUI: its jobs are announced, then pass one lock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class WebuiLine:
    """The WebUI's own records. What a host does not have is nobody."""

    def __init__(self, queue_lock: Any) -> None:
        self._queue_lock = queue_lock

    def tasks(self) -> Collection[str]:
        """Pictures and other work for the card; token counters and lists do not announce themselves."""
        from modules import progress

        return list(getattr(progress, "pending_tasks", ()))

    def is_anyone_there(self) -> bool:
        """Whether a thread stands at the lock."""
        return bool(getattr(self._queue_lock, "_pending_threads", ()))


def doing() -> str:
    """What the WebUI is at work on; empty where it is nothing."""
    from modules import progress, shared

    job = getattr(shared.state, "job", "")
    if job:
        return str(job)
    waiting = len(getattr(progress, "pending_tasks", ()))
    return f"{waiting} waiting" if waiting else ""
