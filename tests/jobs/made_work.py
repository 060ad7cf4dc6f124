"""Short runs of the miniature for a worker: a host, pictures, settings, and waiting for what comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.runs.events import Event
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import read_events
from lib_dreambooth.settings.sources import Sourced
from tests.jobs.made_host import PlainHost

LONGEST_WAIT_S = 60


def short_run(pictures: Path, train_for: str = "2 steps", **own: Any) -> dict[str, Any]:
    """Settings that train a little, save at the end and draw nothing unasked."""
    if not pictures.is_dir():
        for path in subject.write_subject(pictures)[4:]:
            path.unlink()
            path.with_suffix(".txt").unlink()
    values: dict[str, Any] = {
        "model": {"base": str(MINI_CHECKPOINT)},
        "concepts": [{"folder": str(pictures)}],
        "pictures": {"resolution": 64},
        "network": {"rank": 2},
        "rates": {"learning_rate": 1e-3},
        "length": {"train_for": train_for, "batch_size": 2},
        "draws": {"seed": 1},
        "saving": {"every": "never", "subfolder": False},
        "previews": {"every": "never", "at_start": False, "at_end": False, "steps": 1, "size": "64"},
        "logging": {"every": 1, "report": False},
    }
    for name, section in own.items():
        values[name] = {**values.get(name, {}), **section}
    return values


def sourced(pictures: Path, train_for: str = "2 steps", **own: Any) -> Sourced:
    return settings.read(short_run(pictures, train_for, **own))


def told(host: PlainHost, model: str, kind: type[Event]) -> list[Any]:
    """What the runs of a model told, of one kind."""
    path = ModelFolder(host.paths.dreambooth / model).events_path
    return [event for event in read_events(path) if isinstance(event, kind)]


def wait_until(is_so: Callable[[], object], what: str = "it") -> None:
    end = time.monotonic() + LONGEST_WAIT_S
    while not is_so():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)
