"""One run in a model folder: from its settings to its report, however it ends."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from lib_dreambooth.base.awake import awake
from lib_dreambooth.base.host import Alone, Sharing
from lib_dreambooth.data.item import Finding
from lib_dreambooth.jobs.completing import complete, on_base
from lib_dreambooth.jobs.foretelling import foretold, previews_drawn_so
from lib_dreambooth.jobs.new_words import check_words
from lib_dreambooth.jobs.on_resume import changed_settings
from lib_dreambooth.jobs.record import RunRecord, new_run_id, write_record
from lib_dreambooth.jobs.report.told import told_facts
from lib_dreambooth.jobs.report.writing import write_report
from lib_dreambooth.jobs.together import lead
from lib_dreambooth.runs.commands import CommandBox
from lib_dreambooth.runs.events import Event, Started, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import held
from lib_dreambooth.runs.log import EventLog
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Session, base_facts, data_facts
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import Result
from lib_dreambooth.training.logs.starting import outside_logs
from lib_dreambooth.training.processes import ALONE, Processes, device_for, leave
from lib_dreambooth.training.resuming import refuse_unsafe
from lib_dreambooth.training.state import TrainingState
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.preparing import Rooms
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.trainer import Desk, Ended, Trainer

log = logging.getLogger(__name__)
Listener = Callable[[Event], None]


@dataclass(eq=False)
class TrainingJob:
    """A run of one model. `box` takes commands from other threads; `run` does all of the work.

    With `state` the run goes on from there; `lineage` tells its states from those of runs that were given up,
    and `run_id` its events. With `makes` it takes no step and only writes files of these kinds. `sharing` is
    the host whose card it is. `report` is the page about the run once it has ended, if there is one.
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
    sharing: Sharing = field(default_factory=Alone)
    box: CommandBox = field(default_factory=CommandBox)
    run_id: str = field(default_factory=new_run_id)
    report: Path | None = None
    process: Processes = ALONE
    makes: tuple[str, ...] = ()

    def run(self) -> Ended:
        """Trains; raises UserError with everything that stands in the way."""
        with held(self.folder.path), awake():
            sourced = complete(on_base(self.sourced, Path(self.folder.base_at_hand().path)))
            # Before anything is kept: a device that is not here is no run, nor is what a state forbids.
            device_for(sourced.run.memory.device, self.process, self.host_device)
            if self.state is not None:
                refuse_unsafe(changed_settings(self.state, sourced.run))
            found = check_words(sourced.run, self.results, self.earlier)
            copy = self.folder.keep_settings(text_of(sourced))
            try:
                return self._train(sourced, copy, found)
            finally:
                if sourced.run.logging.report:
                    self._report()

    def _train(self, sourced: Sourced, copy: Path, findings: Sequence[Finding]) -> Ended:
        folder = self.folder
        with EventLog(folder.events_path) as events:
            write_record(folder, RunRecord(self.run_id, self.lineage, folder.inside(copy), events.sequence))
            for listener in self.listeners:
                events.listen(listener)
            self.box.follow(folder.inbox_dir, partial(warn, events))
            for found in findings:
                warn(events, found.sentence(), ", ".join(found.paths), found.code)
            control = Control(self.box, events.emit, self.sharing)
            control.makes = self.makes
            desk = self._desk(copy)
            device = device_for(sourced.run.memory.device, self.process, self.host_device)
            lead(self.process, folder, sourced)
            logs = {"model_name": folder.name, "logs_dir": folder.logs_dir, "run_id": self.run_id}
            with outside_logs(sourced.run, events, **logs):  # type: ignore[arg-type]
                card = foretold(sourced, folder, self.results, str(device), events.emit)
                events.listen(card.hear)
                run = previews_drawn_so(sourced.run, card.drawing, events.emit)
                if card.drawing.is_striped:
                    desk = replace(desk, host_pictures=replace(desk.host_pictures, is_striped=True))
                trainer = Trainer(
                    run, device, desk, control, events.emit, self.state, self.process, card.taking
                )
                try:
                    ended = trainer.run()
                finally:
                    leave()
                card.compare()
                return ended

    def _report(self) -> None:
        try:
            _, self.report = write_report(self.folder)
        except Exception:  # the run has ended, and its result stands whatever becomes of the report
            log.exception("the report of %s could not be written", self.folder.name)

    def _desk(self, copy: Path) -> Desk:
        folder = self.folder
        told: list[tuple[BaseFacts, DataFacts]] = []

        def facts(ready: Ready) -> tuple[BaseFacts, DataFacts]:
            if not told:
                objective = ready.objective
                base = base_facts(ready.model, objective.prediction, objective.schedule.is_zero_terminal)
                told.append((base, data_facts(ready.dataset)))
            return told[0]

        def export(ready: Ready) -> Exporter:
            base, data = facts(ready)
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
                base,
                self.results,
                session,
                name=folder.name,
                data=data,
                earlier=self.earlier,
            )

        def started(ready: Ready, first: int) -> Event:
            # Known by now, if it was not before.
            folder.checked_base()
            return Started(
                run_id=self.run_id,
                settings_file=folder.inside(copy),
                num_steps=ready.length.total_steps,
                first_step=first,
                steps_per_epoch=ready.length.epoch.steps,
                device=str(ready.device),
                facts=told_facts(*facts(ready)),
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


def warn(events: EventLog, text: str, where: str, code: str = "command") -> None:
    events.emit(Warned(text=text, where=where, code=code))
