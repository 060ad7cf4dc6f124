"""The fastest way to take a run's steps that fits, and what else could be done where none does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.forecast.forecast import Forecast, Forecaster
from lib_dreambooth.forecast.meter import ADAPTERS, GRADIENTS, OPTIMIZER, WEIGHTS, Peak
from lib_dreambooth.forecast.rehearsal import Manner
from lib_dreambooth.forecast.remembered import EIGHT_BIT, remembered_bytes
from lib_dreambooth.settings.meaning import is_adapter

# How long a step takes beside one that keeps everything; computing twice was counted, the rest is a guess.
SLOWER = {"off": 1.0, "some": 1.08, "on": 1.35, "offload": 1.6}
FUSED, IN_SYSTEM = 1.05, 1.25
# A card is used less well by each piece that a batch is taken in.
SPLIT = 0.1
# An allocator leaves gaps, and drivers keep something for themselves.
SHARE, KEPT_FREE = 0.95, 200_000_000
RESOLUTIONS = (1024, 896, 768, 640, 512, 448, 384, 320, 256)


@dataclass(frozen=True)
class Fit:
    """What was chosen; `fits` is None where nobody knows the room."""

    forecast: Forecast
    fits: bool | None


@dataclass(frozen=True)
class Offer:
    """Another run that would fit: which settings it takes, what it needs, and what it costs."""

    changes: tuple[tuple[str, object], ...]
    bytes: int
    about: str

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"changes": dict(self.changes), "peak": self.bytes, "about": self.about}


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
) -> list[Manner]:
    """Every way to take steps, the fastest first; none changes what is learned.

    Weights that move in the backward pass have all gradients of a step at once, and none that wait.
    """
    found = [
        Manner(level, is_fused, waits, unload != "off", unload == "on", split)
        for level, is_fused, waits, split in itertools.product(levels, fused, in_system, pieces)
        if not (is_fused and (waits or split > 1))
    ]
    return sorted(found, key=cost)


def cost(manner: Manner) -> float:
    """How long a step takes beside the fastest."""
    return (
        SLOWER[manner.level]
        * (FUSED if manner.is_fused else 1.0)
        * (IN_SYSTEM if manner.is_in_system else 1.0)
        * (1.0 + SPLIT * (manner.pieces - 1))
    )


def fitted(of: Callable[[Manner], Forecast], candidates: Sequence[Manner], room: int | None) -> Fit:
    """The first candidate whose steps fit; the one whose steps need least where none does.

    `fits` is about all phases: where the others need more, parts of the model are at work alone in them.
    """
    if room is None:
        return Fit(of(candidates[0]), None)
    found: list[Forecast] = []
    for manner in candidates:
        found.append(of(manner))
        if found[-1].step_bytes <= usable(room):
            if found[-1].bytes > usable(room) and manner.unloads:
                found.append(of(replace(manner, is_alone=True)))
            return Fit(found[-1], fits=found[-1].bytes <= usable(room))
    return Fit(min(found, key=lambda one: one.step_bytes), fits=False)


def offers(forecaster: Forecaster, room: int) -> list[Offer]:
    """Changes of what is learned with which the run would fit, each with what it costs."""
    return [offer for offer in _offers(forecaster, room) if offer.bytes <= usable(room)]


def standing(peak: Peak) -> int:
    """What of a step's memory there is for any batch."""
    return sum(peak[part] for part in (WEIGHTS, ADAPTERS, GRADIENTS, OPTIMIZER))


def _offers(forecaster: Forecaster, room: int) -> Iterator[Offer]:
    run = forecaster.scene.run
    least = Manner("on", is_alone=run.memory.unload != "off", unloads=run.memory.unload != "off")
    need = forecaster.of(least).bytes
    name = run.optimizer.name
    shapes = [tuple(one.shape) for one in forecaster.rehearsal.all_trained]
    if run.length.accumulation > 1 and not is_adapter(run):
        if run.memory.gradients == "card":
            waiting = forecaster.of(replace(least, is_in_system=True)).bytes
            about = "gradients wait in system memory: the same result, slower"
            yield Offer((("memory.gradients", "system"),), waiting, about)
        alone = forecaster.of(replace(least, is_fused=True)).bytes
        about = "no accumulation, weights move in the backward pass: a smaller batch at a time"
        yield Offer((("length.accumulation", 1), ("memory.fused_backward", "on")), alone, about)
    if EIGHT_BIT not in name.lower() and name.lower() in ("adamw", "lion"):
        small = f"{name}8bit"
        saved = remembered_bytes(name, shapes) - remembered_bytes(small, shapes)
        about = f"the optimizer remembers in 8 bits, {shown_bytes(saved)} less; results differ a little"
        yield Offer((("optimizer.name", small),), need - saved, about)
    if standing(forecaster.step(least).peak) > usable(room):
        # Smaller batches and pictures make nothing of this smaller.
        return
    if run.length.batch_size > 1:
        one = forecaster.step(least, batch=1).total
        count = run.length.batch_size * run.length.accumulation
        about = "one picture at a time and more batches before each move: the same number, in other groups"
        yield Offer(
            (("length.batch_size", 1), ("length.accumulation", count)), round(one * forecaster.factor), about
        )
    width, height = forecaster.numbers.size_wh
    for side in RESOLUTIONS:
        if side * side >= width * height:
            continue
        share = side / (width * height) ** 0.5
        size = (max(64, round(width * share / 64) * 64), max(64, round(height * share / 64) * 64))
        found = round(forecaster.step(least, size_wh=size).total * forecaster.factor)
        if found <= usable(room):
            yield Offer(
                (("pictures.resolution", str(side)),), found, "smaller pictures: finer detail is not learned"
            )
            return
