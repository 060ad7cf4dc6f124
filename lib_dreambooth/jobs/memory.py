"""What a planned run needs of this machine, and how its steps are best taken here."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.data.tags.places import data_folder
from lib_dreambooth.forecast.fitting import Fit, Offer, fitted, manners, offers
from lib_dreambooth.forecast.forecast import Forecast, Forecaster, Numbers
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.forecast.machine import Speed, measured
from lib_dreambooth.forecast.rehearsal import Scene
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.jobs.plan import RunPlan
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.optimizers.finding import find
from lib_dreambooth.training.optimizers.fused import in_system_memory, may_fuse
from lib_dreambooth.training.precision.arithmetic import Arithmetic, resolve
from lib_dreambooth.training.precision.checkpointing import checkpointing
from lib_dreambooth.training.precision.devices import ability_of, choose_device, name_of, room_on
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

    `offers` change what is learned; there are some only where nothing else fits.
    """

    forecast: Forecast
    room: int | None
    fits: bool | None
    offers: Sequence[Offer] = ()

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **self.forecast.to_json(),
            "room": self.room,
            "fits": self.fits,
            "offers": [offer.to_json() for offer in self.offers],
        }


def forecast_of(
    plan: RunPlan, *, kept: Kept | None = None, room: int | None = None, measures: bool = True
) -> Told:
    """What the run needs; `room` where it is another than the device's own.

    `measures`: whether this machine's speed may be measured now, where it is not known yet.
    """
    kept = kept or Kept(data_folder())
    run, kind = plan.run, plan.device.partition(":")[0]
    room = room_on(plan.device) if room is None else room
    with _lock:
        forecaster = forecaster_of(plan, kept, measures=measures)
        fit = fit_of(forecaster, run, plan.kind, plan.device, room)
        found = [] if fit.fits is not False else offers(forecaster, room or 0)
    return Told(fit.forecast, room, None if kind == "cpu" and room is None else fit.fits, found)


def forecaster_of(plan: RunPlan, kept: Kept, *, measures: bool = False) -> Forecaster:
    """The forecaster of a plan; the last ones are remembered, since a page asks after each change."""
    device = choose_device(plan.device)
    arithmetic = arithmetic_of(plan.run, plan.kind, plan.device)
    name = device_name(plan)
    speed = speed_of(name, plan.device, arithmetic, kept, measures=measures)
    numbers = numbers_of(plan)
    factor, pace = kept.factor(name, "memory"), kept.factor(name, "seconds")
    run = plan.run
    base = Path(run.model.base)
    key = (
        str(base), base.stat().st_mtime_ns, numbers, plan.device, speed, factor, pace,
        repr((run.network, run.parts, run.words, run.precision, run.memory, run.length, run.optimizer)),
        repr((run.captions.max_tokens, run.ema, run.previews, run.model.clip_skip)),
    )  # fmt: skip
    if key in _known:
        _known.move_to_end(key)
        return _known[key]
    scene = Scene(run, plan.kind, arithmetic, device.type, functools.partial(taking_steps, run))
    _known[key] = Forecaster(scene, numbers, speed, factor, pace)
    while len(_known) > MOST_KEPT:
        _known.popitem(last=False)
    return _known[key]


def device_name(plan: RunPlan) -> str:
    """What this machine's measurements are kept under: the device, its PyTorch, and the arithmetic."""
    arithmetic = arithmetic_of(plan.run, plan.kind, plan.device)
    return f"{name_of(choose_device(plan.device))}, {arithmetic.mixed}"


@contextlib.contextmanager
def taking_steps(run: Run, roots: Mapping[str, Any], trained: Trainable | None, level: str) -> Iterator[None]:
    """The model as it stands while steps are taken."""
    with contextlib.ExitStack() as stack:
        if trained is not None:
            stack.enter_context(shortened(run, trained, roots[UNET]))
        stack.enter_context(checkpointing(roots, level))
        yield


def fit_of(forecaster: Forecaster, run: Run, base: FileKind, device: str, room: int | None) -> Fit:
    """How the steps are taken here: as the settings say, and the fastest that fits where they leave it."""
    memory = run.memory
    kind = device.partition(":")[0]
    arithmetic = arithmetic_of(run, base, device)
    can_fuse = may_fuse(run, find(run.optimizer.name, kind), scales_loss=arithmetic.scales_loss)
    levels = LEVELS if memory.checkpointing == AUTO else (memory.checkpointing,)
    fused = {"on": (True,), "off": (False,)}.get(
        memory.fused_backward, (False, True) if can_fuse else (False,)
    )
    if not can_fuse and memory.fused_backward != "on":
        fused = (False,)
    waits = in_system_memory(run)
    if kind == "cpu" and room is None:
        # Nothing is known about the room: as the trainer does it.
        levels = levels if memory.checkpointing != AUTO else ("off",)
    candidates = manners(levels, fused, in_system=waits, unloads=memory.unload != "off")
    return fitted(forecaster.of, candidates, room)


LEVELS = ("off", "some", "on", "offload")


def numbers_of(plan: RunPlan) -> Numbers:
    """What of a plan counts."""
    run = plan.run
    size = max(plan.buckets, key=lambda one: one[0] * one[1])
    cells = [one[0] * one[1] * visits for one, visits in plan.buckets.items()]
    visits = max(1, sum(plan.buckets.values()))
    preview = run.pictures.resolution if run.previews.size.is_auto else run.previews.size
    prompts = max(3, len(run.previews.prompts)) * run.previews.count
    base = Path(run.model.base)
    times = len(plan.outline.previews or ()) + run.previews.at_end + run.previews.at_start
    of_one = plan.disk.of_one
    written = [of_one.get(name, 0) for name in plan.outline.files]
    return Numbers(
        size_wh=size,
        preview_wh=(preview.width // 8 * 8, preview.height // 8 * 8),
        mean_share=sum(cells) / visits / (size[0] * size[1]),
        num_items=plan.num_pictures,
        num_captions=plan.num_captions,
        num_steps=plan.length.total_steps,
        num_drawn=times * prompts,
        num_class_pictures=plan.new_class_pictures,
        cached_bytes=round(size[0] * size[1] * BYTES_OF_PIXEL * plan.num_pictures)
        if run.memory.cache_latents in (AUTO, "memory")
        else 0,
        file_bytes=bytes_at(base),
        largest_file=max(written, default=0),
    )


def bytes_at(base: Path) -> int:
    """A file's bytes, or those of all files of a folder."""
    if base.is_file():
        return base.stat().st_size
    return sum(one.stat().st_size for one in base.rglob("*") if one.is_file())


def arithmetic_of(run: Run, kind: FileKind, device: str) -> Arithmetic:
    """Number types of the run on a device."""
    is_safe = FAMILIES[kind.family].is_half_vae_safe
    return resolve(run.precision, ability_of(choose_device(device)), is_half_vae_safe=is_safe)


def speed_of(name: str, device: str, arithmetic: Arithmetic, kept: Kept, *, measures: bool) -> Speed | None:
    """The speed that is known of a device; measured where it is not and that may be done."""
    found = kept.speed(name)
    if found is None and measures:
        found = measured(choose_device(device), arithmetic.compute)
        kept.keep_speed(name, found)
    return found
