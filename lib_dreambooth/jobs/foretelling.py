"""A run suited to its card before it starts, and its forecast compared with what it took at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.data.tags.places import data_folder
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.jobs.memory import Told, device_here, forecast_of
from lib_dreambooth.jobs.plan import plan_run
from lib_dreambooth.runs.events import Event, Step, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.precision.devices import peak_of, restart_peak
from lib_dreambooth.training.trainer.taking import AS_SET, Taking

log = logging.getLogger(__name__)


@dataclass
class Foretold:
    """How the steps of a run are taken on its card, and the forecast of that; none where there is no card.

    It is a listener too: the last step tells how fast the run was.
    """

    device: str
    told: Told | None = None
    kept: Kept | None = None
    name: str = ""
    steps_per_second: float | None = None

    @property
    def taking(self) -> Taking:
        """What the trainer goes by where the settings leave it open."""
        if self.told is None:
            return AS_SET
        manner = self.told.forecast.manner
        return Taking(manner.level, manner.is_fused, manner.is_alone, manner.pieces, manner.is_in_system)

    def hear(self, event: Event) -> None:
        """Notes the speed."""
        if isinstance(event, Step) and event.steps_per_second:
            self.steps_per_second = event.steps_per_second

    def compare(self) -> None:
        """Keeps what the run took beside what was forecast, so that the next forecast is nearer.

        On a CPU nothing is compared: what a process holds there is not the run's alone.
        """
        peak = peak_of(self.device)
        if self.told is None or self.kept is None or not peak:
            return
        ratios = ratios_of(self.told, peak, self.steps_per_second)
        self.kept.keep_result(self.name, **ratios)
        log.info("the run took %s of the card, %.2f of the forecast", shown_bytes(peak), ratios["memory"])


def ratios_of(told: Told, peak: int, steps_per_second: float | None) -> dict[str, float]:
    """What was measured over what the graph alone said."""
    forecast = told.forecast
    found = {"memory": peak / forecast.plain_bytes}
    if steps_per_second and forecast.plain_seconds_per_step:
        found["seconds"] = 1.0 / steps_per_second / forecast.plain_seconds_per_step
    return found


def foretold(
    sourced: Sourced,
    folder: ModelFolder,
    results: Folders,
    device: str,
    emit: Callable[[Event], object],
    kept: Kept | None = None,
) -> Foretold:
    """Looks at the card as it is now, with the host's models away, and chooses; tells where nothing fits."""
    if device.partition(":")[0] != "cuda":
        return Foretold(device)
    kept = kept or Kept(data_folder())
    try:
        plan = plan_run(sourced, folder.name, results, folder, host_device=device)
        told = forecast_of(plan, kept=kept)
    except Exception:  # the run does without a forecast: it is what the settings say then
        log.exception("the run could not be forecast")
        return Foretold(device)
    if told.fits is False:
        emit(Warned(text=sentence(told), where="memory", code="memory-may-not-suffice"))
    restart_peak(device)
    return Foretold(device, told, kept, device_here(plan).name)


def sentence(told: Told) -> str:
    """What does not fit, and what would."""
    ways = [", ".join(f"{name} = {value}" for name, value in offer.changes) for offer in told.offers]
    would = f" It would with {', or with '.join(ways)}." if ways else ""
    room = shown_bytes(told.room or 0)
    return f"the run needs {told.forecast.text()}, and the card has {room}: it may not fit.{would}"
