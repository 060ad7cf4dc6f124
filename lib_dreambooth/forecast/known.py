"""Forecasts that were made on this machine, in a file beside its calibration."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import lib_dreambooth
from lib_dreambooth.base.files import replacing
from lib_dreambooth.forecast.forecast import Forecast, PhaseNeed
from lib_dreambooth.forecast.meter import PARTS
from lib_dreambooth.forecast.rehearsal import Manner

log = logging.getLogger(__name__)
FILE = "forecasts.json"
# So many forecasts are kept, the last ones: some 150 kB.
MOST = 100
_lock = threading.Lock()


@dataclass(frozen=True)
class Known:
    """The file below `folder`, which need not exist, of one scene's. A damaged one counts as empty.

    `scene` is everything that they depend on beside the manner, in words.
    """

    folder: Path
    scene: str

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def forecast(self, manner: Manner) -> Forecast | None:
        """What was forecast for these steps."""
        return from_plain(self._read().get(self._key(manner)))

    def keep(self, forecast: Forecast, manner: Manner) -> None:
        """Notes it; the oldest ones go."""
        with _lock:
            data = self._read()
            data.pop(self._key(manner), None)
            data[self._key(manner)] = asdict(forecast)
            self._write(dict(list(data.items())[-MOST:]))

    def _key(self, manner: Manner) -> str:
        whole = f"{torch.__version__} {program()} {self.scene} {manner}"
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, data: dict[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(data), encoding="utf-8")
        except OSError as error:
            log.warning("forecasts could not be kept: %s", error)


def from_plain(data: Any) -> Forecast | None:
    """A forecast out of what `dataclasses.asdict` made of it; None for anything else."""
    try:
        phases = {
            name: PhaseNeed(**{**need, "parts": tuple(map(int, need["parts"]))})
            for name, need in data["phases"].items()
        }
        found = Forecast(
            **{
                **data,
                "phases": phases,
                "manner": Manner(**data["manner"]),
                "rests_on": tuple(data["rests_on"]),
            }
        )
        is_whole = bool(phases) and all(len(need.parts) == len(PARTS) for need in phases.values())
        return found if is_whole and found.bytes > 0 else None
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


@functools.cache
def program() -> str:
    """This program as it is: its version, and whether a file of it is another one."""
    folder = Path(lib_dreambooth.__file__).parent
    marks = [
        (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
        for package in MADE_BY
        for path in sorted((folder / package).rglob("*.py"))
    ]
    digest = hashlib.blake2b(repr(marks).encode("utf-8"), digest_size=8).hexdigest()
    return f"{lib_dreambooth.__version__} {digest}"


# The packages whose code decides what a forecast says.
MADE_BY = ("adapters", "forecast", "models", "settings", "training")
