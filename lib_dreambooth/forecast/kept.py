"""What this machine was measured at, in a file of this program: speeds, and how forecasts came out."""

from __future__ import annotations

import json
import logging
import statistics
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.files import replacing
from lib_dreambooth.forecast.machine import Speed

log = logging.getLogger(__name__)
FILE = "forecast.json"
SPEEDS, RESULTS = "speeds", "results"
# So many results of one device count; beyond these bounds something else was the matter.
MOST_RESULTS = 12
BOUNDS = (0.7, 1.6)
_lock = threading.Lock()


@dataclass(frozen=True)
class Kept:
    """The file below `folder`, which need not exist. A damaged one counts as empty."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def speed(self, device: str) -> Speed | None:
        """What the device was measured at."""
        return Speed.from_json(self._read().get(SPEEDS, {}).get(device))

    def keep_speed(self, device: str, speed: Speed) -> None:
        """Notes it."""
        with _lock:
            data = self._read()
            data.setdefault(SPEEDS, {})[device] = speed.to_json()
            self._write(data)

    def factor(self, device: str, what: str) -> float:
        """What a forecast is multiplied by, as earlier runs came out; `what` is "memory" or "seconds"."""
        found = [one[what] for one in self._results(device) if isinstance(one.get(what), float)]
        return min(max(statistics.median(found), BOUNDS[0]), BOUNDS[1]) if found else 1.0

    def keep_result(self, device: str, **ratios: float) -> None:
        """Notes what was measured over what was forecast, before any factor."""
        with _lock:
            data = self._read()
            results = data.setdefault(RESULTS, {})
            results[device] = [*self._results(device, data), ratios][-MOST_RESULTS:]
            self._write(data)

    def _results(self, device: str, data: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        found = (self._read() if data is None else data).get(RESULTS, {}).get(device, [])
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        is_ours = isinstance(found, dict) and all(
            isinstance(found.get(one, {}), dict) for one in (SPEEDS, RESULTS)
        )
        return found if is_ours else {}

    def _write(self, data: dict[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(data, indent=1), encoding="utf-8")
        except OSError as error:
            log.warning("what this machine was measured at could not be kept: %s", error)
