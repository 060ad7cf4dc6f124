"""Class pictures drawn without a training, just as the training would draw them before its first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import Host, Sharing
from lib_dreambooth.jobs.completing import complete, on_base
from lib_dreambooth.jobs.orders import device_of, plan_new
from lib_dreambooth.jobs.tasks import Watching
from lib_dreambooth.runs.commands import Command, StopWithoutSaving
from lib_dreambooth.runs.events import Event, Phase
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import held
from lib_dreambooth.runs.names import checked_name
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.sources import FORM, Sourced
from lib_dreambooth.training.precision.devices import choose_device
from lib_dreambooth.training.precision.flags import switched
from lib_dreambooth.training.trainer.card import Card
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.mishaps import give_memory_back
from lib_dreambooth.training.trainer.preparing import CLASS_PICTURES, Preparer, Rooms

PURPOSE = "drawing class pictures"
ENDING = "*.png"
Telling = Callable[[int, int], None]


@dataclass(frozen=True)
class Drawn:
    """How many were drawn now, and how many class pictures lie in `folder`."""

    drawn: int
    there: int
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return {"drawn": self.drawn, "there": self.there, "folder": str(self.folder)}


@dataclass(frozen=True)
class Stops:
    """Commands of somebody who can only stop it."""

    is_asked: Callable[[], bool]

    def take(self, *, look: bool = False) -> Sequence[Command]:
        return (StopWithoutSaving(),) if self.is_asked() else ()

    def wait(self, timeout_s: float) -> Sequence[Command]:
        return self.take()


def with_drawing(sourced: Sourced) -> Sourced:
    """The settings with drawing ticked; raises UserError where class pictures are not used at all."""
    if sourced.run.class_pictures.relation == "off":
        raise UserError(
            "class pictures are off.",
            where="class_pictures.relation",
            todo="Choose how they are used: mixed in, or beside each picture.",
        )
    return (
        sourced if sourced.run.class_pictures.draw else update(sourced, {"class_pictures.draw": True}, FORM)
    )


def ordered(host: Host, name: str, sourced: Sourced) -> tuple[ModelFolder, Sourced, int]:
    """The model to draw for, made where there is none, the settings, and how many pictures it lacks.

    Raises UserError with everything that is in the way of a run.
    """
    sourced = with_drawing(sourced)
    plan = plan_new(host, name, sourced)
    folder = ModelFolder.find(host.paths.dreambooth, name)
    if folder is None:
        base = Path(plan.run.model.base)
        folder = ModelFolder.create(host.paths.dreambooth, checked_name(name), base, plan.kind.family)
    return folder, sourced, plan.new_class_pictures


def drawn_by_host(host: Host, folder: ModelFolder, sourced: Sourced, watching: Watching) -> dict[str, Any]:
    """The same as a task of a host: waits for its card, and leaves it to its pictures in between."""
    with host.lend_gpu():
        found = draw_for(
            folder,
            sourced,
            host_device=device_of(host),
            sharing=host,
            tell=watching.count,
            should_stop=watching.should_stop,
        )
    return found.to_json()


def draw_for(
    folder: ModelFolder,
    sourced: Sourced,
    *,
    host_device: str | None = None,
    sharing: Sharing | None = None,
    tell: Telling = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Drawn:
    """Draws what a run of these settings would draw, into the model's folder; stopped, what is done stays.

    Raises UserError with what is in the way of the run, Cancelled where it was stopped.
    """
    with held(folder.path, PURPOSE):
        run = complete(on_base(with_drawing(sourced), Path(folder.checked_base().path))).run
        before = number_in(folder)

        def hear(event: Event) -> None:
            if isinstance(event, Phase) and event.name == CLASS_PICTURES:
                tell(event.done, event.total or 0)

        control = Control(Stops(should_stop), hear, sharing)
        device = choose_device(run.memory.device, host_device)
        preparer = Preparer(run, device, Rooms(folder.cache_dir, folder.class_images_dir), control, hear)
        scanned = preparer.scan()
        deterministic = run.draws.deterministic or device.type == "cpu"
        tf32 = run.precision.tf32 and device.type == "cuda"
        with switched(tf32=tf32, deterministic=deterministic) as control.on_aside:
            model = preparer.read()
            try:
                card = Card(model, device)
                control.on_leave, control.on_take = card.leave, card.take
                preparer.class_pictures(model, scanned)
            finally:
                model.modules.clear()
                give_memory_back()
        control.check()
        there = number_in(folder)
        return Drawn(there - before, there, folder.class_images_dir)


def number_in(folder: ModelFolder) -> int:
    """How many class pictures were drawn for a model."""
    return sum(1 for _ in folder.class_images_dir.glob(ENDING))
