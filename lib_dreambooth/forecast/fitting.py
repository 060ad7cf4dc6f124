"""The fastest way to take a run's steps that fits; what else could be done where none does: `offering`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lib_dreambooth.forecast.forecast import PREVIEW, Forecast
from lib_dreambooth.forecast.previewing import AS_SET, Drawing
from lib_dreambooth.forecast.rehearsal import Manner

# How long a step takes beside one that keeps everything; computing twice was counted, the rest is a guess.
SLOWER = {"off": 1.0, "some": 1.08, "on": 1.35, "offload": 1.6}
FUSED, IN_SYSTEM = 1.05, 1.25
# What AdamW remembers of an SD 1.5 takes a second there and back: rather everything else first.
STATE_AWAY = 2.0
# A card is used less well by each piece that a batch is taken in.
SPLIT = 0.1
# An allocator leaves gaps, and drivers keep something for themselves.
SHARE, KEPT_FREE = 0.95, 200_000_000


@dataclass(frozen=True)
class Fit:
    """What was chosen; `fits` is None where nobody knows the room."""

    forecast: Forecast
    fits: bool | None
    drawing: Drawing = AS_SET  # of previews


def usable(room: int) -> int:
    """What of a device's room can be counted on."""
    return max(0, round(room * SHARE) - KEPT_FREE)


def manners(
    levels: Iterable[str],
    fused: Iterable[bool],
    *,
    in_system: Iterable[bool] = (False,),
    pieces: Iterable[int] = (1,),
    unload: str = "auto",
    state_away: Iterable[bool] = (False,),
) -> list[Manner]:
    """Every way to take steps, the fastest first; none changes what is learned.

    Weights that move in the backward pass have all gradients of a step at once, and none that wait.
    """
    found = [
        Manner(level, is_fused, waits, unload != "off", unload == "on", split, away)
        for level, is_fused, waits, split, away in itertools.product(
            levels, fused, in_system, pieces, state_away
        )
        if not (is_fused and (waits or split > 1))
    ]
    return sorted(found, key=cost)


def cost(manner: Manner) -> float:
    """How long a step takes beside the fastest."""
    return (
        SLOWER[manner.level]
        * (FUSED if manner.is_fused else 1.0)
        * (IN_SYSTEM if manner.is_in_system else 1.0)
        * (STATE_AWAY if manner.is_state_away else 1.0)
        * (1.0 + SPLIT * (manner.pieces - 1))
    )


class Forecasts(Protocol):
    """What each manner needs; `within`: None where its steps take more than so many bytes.

    `at_least`: bytes that its steps take at any rate, known without taking any.
    """

    def at_least(self, manner: Manner) -> int: ...
    def of(self, manner: Manner) -> Forecast: ...
    def within(self, manner: Manner, limit: int) -> Forecast | None: ...


def fitted(
    forecasts: Forecasts,
    candidates: Sequence[Manner],
    room: int | None,
    previews: Callable[[Manner], Iterable[tuple[Drawing, Forecast]]] = lambda manner: (),
    host_room: int | None = None,
) -> Fit:
    """The first candidate whose steps fit; the one whose steps need least where none does.

    What the optimizer remembers leaves the card only where system memory has room for it, if that is known.
    `fits` is about all phases: where the others need more, parts of the model are at work alone in them, and
    where previews still do, they are drawn as `previews` has them, more and more sparingly.
    """
    if room is None:
        return Fit(forecasts.of(candidates[0]), None)
    most = usable(room)

    def has_host_room(forecast: Forecast) -> bool:
        return host_room is None or not forecast.manner.is_state_away or forecast.host_bytes <= host_room

    for manner in candidates:
        found = forecasts.within(manner, most)
        if found is None or not has_host_room(found) or found.step_bytes > most:
            continue
        if found.bytes > most and manner.unloads:
            found = forecasts.of(replace(manner, is_alone=True))
        if found.bytes > most and found.largest == PREVIEW:
            for drawing, forecast in previews(found.manner):
                if forecast.bytes <= most:
                    return Fit(forecast, fits=True, drawing=drawing)
        return Fit(found, fits=found.bytes <= most)
    found = sparest(forecasts, candidates, has_host_room)
    return Fit(forecasts.of(replace(found.manner, is_alone=found.manner.unloads)), fits=False)


def sparest(
    forecasts: Forecasts, candidates: Sequence[Manner], is_allowed: Callable[[Forecast], bool]
) -> Forecast:
    """Where none fits: the one whose steps need least.

    That is the slowest of those that move weights in the backward pass, or of those that do not.
    """
    for among in (candidates, [one for one in candidates if not one.is_state_away]):
        slowest = {manner.is_fused: manner for manner in among}
        best: Forecast | None = None
        for manner in sorted(slowest.values(), key=forecasts.at_least):
            if best is not None and forecasts.at_least(manner) >= best.step_bytes:
                continue
            found = forecasts.of(manner)
            if is_allowed(found) and (best is None or found.step_bytes < best.step_bytes):
                best = found
        if best is not None:
            return best
    return forecasts.of(candidates[-1])
