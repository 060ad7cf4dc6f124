"""What a planned run needs of this machine, and how its steps are best taken here."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.data.tags.places import data_folder
from lib_dreambooth.forecast import recomputing
from lib_dreambooth.forecast.fitting import Fit, fitted, manners
from lib_dreambooth.forecast.forecast import Forecast, Forecaster, Numbers
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.forecast.known import Known
from lib_dreambooth.forecast.machine import Speed, measured
from lib_dreambooth.forecast.offering import Offer, offers
from lib_dreambooth.forecast.previewing import AS_SET, Drawing, sparing
from lib_dreambooth.forecast.rehearsal import Scene
from lib_dreambooth.forecast.remembered import is_worth_leaving
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.jobs.bases import bytes_at
from lib_dreambooth.jobs.longest import most_chunks
from lib_dreambooth.jobs.plan import RunPlan
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.optimizers.building import moves_in_lists
from lib_dreambooth.training.optimizers.finding import find
from lib_dreambooth.training.optimizers.fused import (
    in_system_memory,
    keeps_state_away,
    may_fuse,
    may_leave,
    may_wait,
)
from lib_dreambooth.training.precision.arithmetic import Arithmetic, resolve
from lib_dreambooth.training.precision.checkpointing import checkpointing
from lib_dreambooth.training.precision.devices import Ability, ability_of, choose_device, name_of, room_on
from lib_dreambooth.training.precision.resident import free_in_system, resident
from lib_dreambooth.training.trainer.trainer import shortened

# Latents: mean and spread in float32, four channels, a cell for 64 pixels.
BYTES_OF_PIXEL = 2 * 4 * 4 / 64
MOST_KEPT = 4
AUTO = "auto"
_lock = threading.Lock()
_known: OrderedDict[Any, Forecaster] = OrderedDict()


@dataclass(frozen=True)
class Told:
    """A forecast, the room there is on the device (None: nobody knows), and what else could be done.

    `offers` change what is learned; there are some only where nothing else fits and they were looked for.
    `own` is what this process has of the computer's memory before it begins, where that is what is meant.
    """

    forecast: Forecast
    room: int | None
    fits: bool | None
    offers: Sequence[Offer] = ()
    drawing: Drawing = AS_SET  # of previews
    own: int = 0

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **self.forecast.to_json(),
            "own": self.own,
            "room": self.room,
            "fits": self.fits,
            "offers": [offer.to_json() for offer in self.offers],
            "previews": {"size": self.drawing.size_wh, "striped": self.drawing.is_striped},
        }


@dataclass(frozen=True)
class Target:
    """The device that a forecast is about: one of this machine, or a card that need not be here.

    `name` is what measurements of it are kept under, empty where there are none; `room` is None where nobody
    knows it.
    """

    kind: str
    ability: Ability
    room: int | None = None
    name: str = ""
    device: str = ""
    host_room: int | None = None  # of system memory, beside a card that is here

    def arithmetic(self, run: Run, base: FileKind) -> Arithmetic:
        """Number types of the run there."""
        is_safe = FAMILIES[base.family].is_half_vae_safe
        return resolve(run.precision, self.ability, is_half_vae_safe=is_safe)


def device_here(plan: RunPlan, room: int | None = None) -> Target:
    """The device of a plan; `room` where it is another than what the device has now."""
    device = choose_device(plan.device)
    found = Target(device.type, ability_of(device), room_on(plan.device) if room is None else room)
    name = f"{name_of(device)}, {found.arithmetic(plan.run, plan.kind).mixed}"
    return dataclasses.replace(found, name=name, device=plan.device, host_room=free_in_system())


def forecast_of(
    plan: RunPlan,
    *,
    kept: Kept | None = None,
    room: int | None = None,
    measures: bool = True,
    target: Target | None = None,
    offering: bool = True,
) -> Told:
    """What the run needs; `room` where it is another than the device's own, `target` for another device.

    `measures`: whether this machine's speed may be measured now, where it is not known yet. `offering`:
    whether offers are looked for where nothing fits, which takes as long as the forecast; asked for them
    afterwards, it answers with the same forecast.
    """
    kept = kept or Kept(data_folder())
    target = target or device_here(plan, room)
    numbers = numbers_of(plan)
    return told_of(plan.run, plan.kind, numbers, target, kept, measures=measures, offering=offering)


def told_of(
    run: Run,
    kind: FileKind,
    numbers: Numbers,
    target: Target,
    kept: Kept,
    *,
    measures: bool = False,
    offering: bool = True,
) -> Told:
    """The same of settings with everything decided, on a base of this kind."""
    own = resident()[0] if target.kind == "cpu" else 0
    with _lock:
        forecaster = forecaster_of(run, kind, numbers, target, kept, measures=measures)
        fit = fit_of(forecaster, run, kind, target)
        found: list[Offer] = []
        if fit.fits is False and offering:
            is_away = fit.forecast.manner.is_state_away
            found = offers(forecaster, target.room or 0, is_state_away=is_away, host_room=target.host_room)
    return Told(fit.forecast, target.room, fit.fits, found, fit.drawing, own)


def forecaster_of(
    run: Run, kind: FileKind, numbers: Numbers, target: Target, kept: Kept, *, measures: bool = False
) -> Forecaster:
    """The forecaster of a run; the last ones are remembered, since a page asks after each change."""
    arithmetic = target.arithmetic(run, kind)
    speed = speed_of(target, arithmetic, kept, measures=measures)
    factor, pace = kept.factor(target.name, "memory"), kept.factor(target.name, "seconds")
    base = Path(run.model.base)
    known = find(run.optimizer.name, target.kind)
    in_lists = moves_in_lists(run, known, target.kind)
    numbers = dataclasses.replace(numbers, moves_in_lists=in_lists, moves_in_portions=known.apart)
    key = (
        str(base), base.stat().st_mtime_ns, numbers, target.kind, arithmetic, speed, factor, pace,
        repr((run.network, run.parts, run.words, run.precision, run.memory, run.length, run.optimizer)),
        repr((run.captions, run.ema, run.previews, run.model.clip_skip, run.model.merge)),
    )  # fmt: skip
    if key in _known:
        _known.move_to_end(key)
        return _known[key]
    chunks = numbers.num_chunks or most_chunks(run.captions.max_tokens)
    scene = Scene(run, kind, arithmetic, target.kind, functools.partial(taking_steps, run), chunks)
    _known[key] = Forecaster(scene, numbers, speed, factor, pace, Known(kept.folder, repr((key, kind))))
    while len(_known) > MOST_KEPT:
        _known.popitem(last=False)
    return _known[key]


@contextlib.contextmanager
def taking_steps(run: Run, roots: Mapping[str, Any], trained: Trainable | None, level: str) -> Iterator[None]:
    """The model as it stands while steps are taken."""
    with contextlib.ExitStack() as stack:
        if trained is not None:
            stack.enter_context(shortened(run, trained, roots[UNET]))
        stack.enter_context(checkpointing(roots, level, recomputing.twice))
        yield


def fit_of(forecaster: Forecaster, run: Run, base: FileKind, target: Target) -> Fit:
    """How the steps are taken there: as the settings say, and the fastest that fits where they leave it."""
    memory, kind, room = run.memory, target.kind, target.room
    arithmetic = target.arithmetic(run, base)
    known = find(run.optimizer.name, kind)
    can_fuse = may_fuse(run, known, scales_loss=arithmetic.scales_loss)
    levels = LEVELS if memory.checkpointing == AUTO else (memory.checkpointing,)
    fused = {"on": (True,), "off": (False,)}.get(
        memory.fused_backward, (False, True) if can_fuse else (False,)
    )
    if not can_fuse and memory.fused_backward != "on":
        fused = (False,)
    waits: tuple[bool, ...] = (in_system_memory(run),)
    if memory.gradients == AUTO and kind == "cuda" and may_wait(run, known):
        waits = (False, True)
    away: tuple[bool, ...] = (keeps_state_away(run),)
    host_room = None
    if memory.optimizer_state == AUTO and kind == "cuda" and may_leave(known) and remembers_much(run):
        away, host_room = (False, True), target.host_room
    pieces: tuple[int, ...] = (memory.pieces or 1,)
    if not memory.pieces and room is not None:
        pieces = pieces_for(run.length.batch_size)
    if kind == "cpu" and room is None:
        # Nothing is known about the room: as the trainer does it.
        levels = levels if memory.checkpointing != AUTO else ("off",)
    candidates = manners(levels, fused, in_system=waits, pieces=pieces, unload=memory.unload, state_away=away)
    previews = functools.partial(sparing, forecaster)
    return fitted(forecaster, candidates, room, previews, host_room)


def remembers_much(run: Run) -> bool:
    """Whether a card is much emptier without what the optimizer remembers: of a network that is little."""
    return not is_adapter(run) and is_worth_leaving(run.optimizer.name, run.optimizer.arguments)


def pieces_for(batch: int) -> tuple[int, ...]:
    """In how many pieces a batch may be taken: halves, and halves of them, down to single pictures."""
    found = [1]
    while found[-1] < batch:
        found.append(min(2 * found[-1], batch))
    return tuple(found)


LEVELS = ("off", "some", "on", "offload")


def numbers_of(plan: RunPlan) -> Numbers:
    """What of a plan counts."""
    run = plan.run
    size = max(plan.buckets, key=lambda one: one[0] * one[1])
    cells = [one[0] * one[1] * visits for one, visits in plan.buckets.items()]
    visits = max(1, sum(plan.buckets.values()))
    prompts = max(3, len(run.previews.prompts)) * run.previews.count
    base = Path(run.model.base)
    times = len(plan.outline.previews or ()) + run.previews.at_end + run.previews.at_start
    of_one = plan.disk.of_one
    written = [of_one.get(name, 0) for name in plan.outline.files]
    return Numbers(
        size_wh=size,
        preview_wh=preview_size(run),
        mean_share=sum(cells) / visits / (size[0] * size[1]),
        num_items=plan.num_pictures,
        num_captions=plan.num_captions,
        num_chunks=plan.num_chunks,
        num_steps=plan.length.total_steps,
        num_drawn=times * prompts,
        num_class_pictures=plan.new_class_pictures,
        cached_bytes=round(size[0] * size[1] * BYTES_OF_PIXEL * plan.num_pictures)
        if run.memory.cache_latents in (AUTO, "memory")
        else 0,
        file_bytes=bytes_at(base),
        largest_file=max(written, default=0),
    )


def preview_size(run: Run) -> tuple[int, int]:
    """Width and height of the previews."""
    size = run.pictures.resolution if run.previews.size.is_auto else run.previews.size
    return size.width // 8 * 8, size.height // 8 * 8


def speed_of(target: Target, arithmetic: Arithmetic, kept: Kept, *, measures: bool) -> Speed | None:
    """The speed that is known of a device; measured where it is not and that may be done."""
    found = kept.speed(target.name)
    if found is None and measures and target.device:
        found = measured(choose_device(target.device), arithmetic.compute)
        kept.keep_speed(target.name, found)
    return found
