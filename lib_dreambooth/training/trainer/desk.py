"""What a run is given beside its settings, and what it gives in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lib_dreambooth.runs.events import Event
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.result import Result
from lib_dreambooth.training.trainer.preparing import Rooms
from lib_dreambooth.training.trainer.ready import Ready


@dataclass(frozen=True)
class Desk:
    """Where a run puts things; the run itself knows no model folder and no host."""

    rooms: Rooms
    states: Path
    samples: Path
    export: Callable[[Ready], Exporter]
    started: Callable[[Ready, int], Event]
    show: Callable[[Path], str] = str
    host_pictures: PictureSettings = field(default_factory=PictureSettings)
    lineage: int = 0


@dataclass(frozen=True)
class Ended:
    """How a run ended, after how many steps, and what it wrote."""

    outcome: str
    step: int
    results: tuple[Result, ...] = ()
