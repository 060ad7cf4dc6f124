"""One run in a model folder: from its settings to its report, however it ends."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.checkpoint import kind_of
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.models.families import native_side
from lib_dreambooth.models.read import require_usable
from lib_dreambooth.runs.commands import CommandBox
from lib_dreambooth.runs.events import Event, Started, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.kept_states import newest_whole, next_lineage, read_state
from lib_dreambooth.runs.lock import held
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.deciding import decided
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.settings.readiness import require_complete
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.sources import DECIDED, Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.export.facts import Session, base_facts, data_facts
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import Result
from lib_dreambooth.training.precision.devices import choose_device
from lib_dreambooth.training.state import TrainingState
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.preparing import Rooms
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.trainer import Desk, Ended, Trainer

log = logging.getLogger(__name__)
SEEDS = 1 << 31
Listener = Callable[[Event], None]


@dataclass(eq=False)
class TrainingJob:
    """A run of one model. `box` takes commands from other threads; `run` does all of the work.

    With `state` the run goes on from there; `lineage` tells its states from those of runs that were given up.
    """

    folder: ModelFolder
    sourced: Sourced
    results: Folders
    state: TrainingState | None = None
    lineage: int = 0
    listeners: Sequence[Listener] = ()
    earlier: Sequence[Result] = ()
    host_device: str | None = None
    host_pictures: PictureSettings = field(default_factory=PictureSettings)
    yield_point: Callable[[], None] = lambda: None
    box: CommandBox | None = None

    def run(self) -> Ended:
        """Trains; raises UserError with everything that stands in the way."""
        with held(self.folder.path):
            sourced = complete(on_base(self.sourced, Path(self.folder.checked_base().path)))
            device = choose_device(sourced.run.memory.device, self.host_device)
            copy = self.folder.keep_settings(text_of(sourced))
            with EventLog(self.folder.events_path) as events:
                for listener in self.listeners:
                    events.listen(listener)
                box = self.box or CommandBox(self.folder.inbox_dir, partial(warn, events))
                control = Control(box, events.emit, self.yield_point)
                desk = self._desk(copy)
                return Trainer(sourced.run, device, desk, control, events.emit, self.state).run()

    def _desk(self, copy: Path) -> Desk:
        folder = self.folder
        run_id = f"{secrets.randbits(64):016x}"

        def export(ready: Ready) -> Exporter:
            session = Session(
                id=random.SystemRandom().getrandbits(32),
                started_at=time.time(),
                total_steps=ready.length.total_steps,
                num_epochs=ready.length.num_epochs,
                optimizer=ready.optimizer.known.name,
                mixed_precision=ready.arithmetic.mixed,
            )
            return Exporter(
                ready.run,
                base_facts(ready.model, ready.objective.prediction),
                self.results,
                session,
                name=folder.name,
                data=data_facts(ready.dataset),
                earlier=self.earlier,
            )

        def started(ready: Ready, first: int) -> Event:
            return Started(
                run_id=run_id,
                settings_file=folder.inside(copy),
                num_steps=ready.length.total_steps,
                first_step=first,
                steps_per_epoch=ready.length.epoch.steps,
                device=str(ready.device),
                facts={"base": ready.model.source.name, "family": ready.model.family.name},
            )

        return Desk(
            rooms=Rooms(folder.cache_dir, folder.class_images_dir),
            states=folder.states_dir,
            samples=folder.samples_dir,
            export=export,
            started=started,
            show=folder.inside,
            host_pictures=self.host_pictures,
            lineage=self.lineage,
        )


def on_base(sourced: Sourced, base: Path) -> Sourced:
    """The settings with the base of the model that they are for; raises UserError where they name another."""
    named = sourced.run.model.base
    if named and Path(named).absolute() != base:
        raise UserError(
            f"the settings are for another base than this model, which is trained from {base}.",
            where=f"model.base = {named}",
            todo="Leave the base out of the settings, or create a model from the other one.",
            code="other-base",
        )
    return sourced if named else update(sourced, {"model.base": str(base)}, DECIDED)


def complete(sourced: Sourced) -> Sourced:
    """The settings with what was left open decided; raises UserError for what is missing."""
    require_complete(sourced.run)
    base = Path(sourced.run.model.base)
    with open_tensors(base) as file:
        kind = kind_of(file)
    require_usable(kind, base, None)
    require_complete(sourced.run, kind.family)
    return decided(sourced, native_side=native_side(kind), seed=secrets.randbelow(SEEDS))


def newest_state(folder: ModelFolder, told: Callable[[str], None] = log.warning) -> TrainingState:
    """The state to go on from; raises UserError where there is none. Damaged ones are told of."""
    found = newest_whole(folder.states_dir)
    for damaged in found.damaged:
        told(damaged.sentence())
    if found.state is None:
        raise UserError(
            "there is no state to go on from.",
            where=str(folder.path),
            todo="Start the training anew.",
            code="no-state",
        )
    return TrainingState.from_saved(*read_state(found.state))


def resumed(
    folder: ModelFolder,
    results: Folders,
    change: Callable[[Sourced], Sourced] = lambda sourced: sourced,
    more_steps: int = 0,
) -> TrainingJob:
    """The job that goes on from a model's newest state, with its settings and what `change` makes of them.

    `more_steps` makes the run that much longer than the state is far.
    """
    found = newest_whole(folder.states_dir)
    state = newest_state(folder)
    sourced = change(review_text(state.settings, "state.json").sourced)
    if more_steps:
        sourced = longer(sourced, state.step + more_steps)
    lineage = found.state.lineage if found.state is not None else 0
    return TrainingJob(folder, sourced, results, state=state, lineage=lineage)


def longer(sourced: Sourced, num_steps: int) -> Sourced:
    """The same run with another length; a schedule that falls to the end falls to the new one."""
    changes = {"length.train_for": f"{num_steps} steps", "length.whole_epochs": False}
    return update(sourced, changes, "resume")


def started_over(folder: ModelFolder, sourced: Sourced, results: Folders) -> TrainingJob:
    """The job that begins from the base again; its states count as newer than those there are."""
    return TrainingJob(folder, sourced, results, lineage=next_lineage(folder.states_dir))


def warn(events: EventLog, text: str, where: str) -> None:
    events.emit(Warned(text=text, where=where, code="command"))
