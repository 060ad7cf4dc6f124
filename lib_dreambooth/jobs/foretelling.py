"""A run suited to its card before it starts, and its forecast compared with what it took at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.data.tags.places import data_folder
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.forecast.previewing import AS_SET as AS_DRAWN
from lib_dreambooth.forecast.previewing import Drawing
from lib_dreambooth.jobs.memory import Told, device_here, forecast_of
from lib_dreambooth.jobs.plan import plan_run
from lib_dreambooth.runs.events import Event, Step, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.settings.reading import replace
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.precision.devices import peak_of, restart_peak
from lib_dreambooth.training.precision.resident import resident
from lib_dreambooth.training.trainer.taking import AS_SET, Taking

log = logging.getLogger(__name__)
# Smaller runs say more about the process than about themselves.
WORTH_COMPARING = 500_000_000


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
    before: tuple[int, int] = (0, 0)  # what the process had of the computer's memory, and at its highest
    late: Callable[[], tuple[Told, str]] | None = None  # the forecast, where it is made for comparison alone

    @property
    def taking(self) -> Taking:
        """What the trainer goes by where the settings leave it open."""
        if self.told is None:
            return AS_SET
        manner = self.told.forecast.manner
        return Taking(
            manner.level,
            manner.is_fused,
            manner.is_alone,
            manner.pieces,
            manner.is_in_system,
            manner.is_state_away,
        )

    @property
    def drawing(self) -> Drawing:
        """How previews are drawn."""
        return AS_DRAWN if self.told is None else self.told.drawing

    def hear(self, event: Event) -> None:
        """Notes the speed."""
        if isinstance(event, Step) and event.steps_per_second:
            self.steps_per_second = event.steps_per_second

    def compare(self) -> None:
        """Keeps what the run took beside what was forecast, so that the next forecast is nearer."""
        peak = peak_of(self.device) if self.late is None else self._grown
        told = self.told
        if told is None and self.late is not None and peak >= WORTH_COMPARING:
            try:
                told, self.name = self.late()
            except Exception:  # the run has ended well, and that is all that counts
                log.exception("the run could not be compared with its forecast")
        if told is None or self.kept is None or not peak:
            return
        ratios = ratios_of(told, peak, self.steps_per_second)
        self.kept.keep_result(self.name, **ratios)
        log.info("the run took %s, %.2f of the forecast", shown_bytes(peak), ratios["memory"])

    @property
    def _grown(self) -> int:
        """How much more memory the process had than before; 0 where earlier work had taken as much."""
        now, most = self.before
        highest = resident()[1]
        return highest - now if highest > most else 0


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
    kind = device.partition(":")[0]
    kept = kept or Kept(data_folder())

    def forecast() -> tuple[Told, str]:
        plan = plan_run(sourced, folder.name, results, folder, host_device=device)
        return forecast_of(plan, kept=kept, measures=kind == "cuda"), device_here(plan).name

    if kind == "cpu":
        # There is nothing to choose, and nobody waits for a forecast before the first step.
        return Foretold(device, None, kept, before=resident(), late=forecast)
    if kind != "cuda":
        return Foretold(device)
    try:
        told, name = forecast()
    except Exception:  # the run does without a forecast: it is what the settings say then
        log.exception("the run could not be forecast")
        return Foretold(device)
    if told.fits is False:
        emit(Warned(text=sentence(told), where="memory", code="memory-may-not-suffice"))
    restart_peak(device)
    return Foretold(device, told, kept, name)


def sentence(told: Told) -> str:
    """What does not fit, and what would."""
    ways = [offer.text() for offer in told.offers]
    would = f" It would with {', or with '.join(ways)}." if ways else ""
    room = shown_bytes(told.room or 0)
    return f"the run needs {told.forecast.text()}, and the card has {room}: it may not fit.{would}"


def previews_drawn_so(run: Run, drawing: Drawing, emit: Callable[[Event], object]) -> Run:
    """The run with previews of the size that fits; tells it where that is smaller than asked for."""
    if drawing.size_wh is None:
        return run
    width, height = drawing.size_wh
    size = f"{width} x {height}"
    text = f"previews are drawn smaller, {size}: larger ones do not fit the card beside the training."
    emit(Warned(text=text, where="previews.size", code="smaller-previews"))
    return replace(run, {"previews.size": f"{width}x{height}"})
