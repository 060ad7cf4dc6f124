"""Who waits in a WebUI: its jobs are announced, then pass one lock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# Settings whose change makes the WebUI load or move its model, without announcing it.
MOVING = ("sd_model_checkpoint", "sd_vae", "fp8_storage", "cache_fp16_weight")


class WebuiLine:
    """The WebUI's own records. What a host does not have is nobody."""

    def __init__(self, queue_lock: Any) -> None:
        self._queue_lock = queue_lock
        self._chosen: dict[str, str] | None = None

    def tasks(self) -> Collection[str]:
        """Pictures and other work for the card; token counters and lists do not announce themselves.

        Who changes a checkpoint stands in the line with the change already made: that announces it.
        """
        from modules import progress

        before, self._chosen = self._chosen, chosen()
        changes = [] if before is None else sorted(set(self._chosen.items()) - set(before.items()))
        tasks = list(getattr(progress, "pending_tasks", ()))
        return tasks + [f"{name}={value}" for name, value in changes]

    def is_anyone_there(self) -> bool:
        """Whether a thread stands at the lock."""
        return bool(getattr(self._queue_lock, "_pending_threads", ()))


def chosen() -> dict[str, str]:
    """The settings that move the model; a checkpoint by its file: its title changes with its hash."""
    from modules import sd_models, shared

    data = getattr(shared.opts, "data", {})
    found = {name: str(data[name]) for name in MOVING if name in data}
    known = getattr(sd_models, "checkpoint_aliases", {}).get(found.get(MOVING[0]))
    if known is not None:
        found[MOVING[0]] = str(known.filename)
    return found


def doing() -> str:
    """What the WebUI is at work on; empty where it is nothing."""
    from modules import progress, shared

    job = getattr(shared.state, "job", "")
    if job:
        return str(job)
    waiting = len(getattr(progress, "pending_tasks", ()))
    return f"{waiting} waiting" if waiting else ""
