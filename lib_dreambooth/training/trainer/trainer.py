"""A run from its first phase to its last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.feeding.feed import feed
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.runs.commands import StopAfterStep, StopAtEpochEnd, StopWithoutSaving
from lib_dreambooth.runs.events import (
    CANCELLED,
    DISCARDED,
    DONE,
    Event,
    Finished,
    Phase,
    Validated,
    Warned,
    finished_with,
)
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training import state as saved
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.result import Result
from lib_dreambooth.training.objective.prior import class_weights
from lib_dreambooth.training.precision.attention import attention
from lib_dreambooth.training.precision.checkpointing import checkpointing
from lib_dreambooth.training.precision.flags import switched
from lib_dreambooth.training.previews.chosen import previews_of
from lib_dreambooth.training.previews.drawing import PreviewArtist
from lib_dreambooth.training.resuming import differences_on_resume, refuse_unsafe
from lib_dreambooth.training.state import Surroundings, TrainingState, surroundings
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.curves import Curves
from lib_dreambooth.training.trainer.epochs import encode_epoch
from lib_dreambooth.training.trainer.measuring import measure, measured_batches
from lib_dreambooth.training.trainer.preparing import Preparer, Rooms
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.sampling import Previewer
from lib_dreambooth.training.trainer.saving import STATE, Saver, restore
from lib_dreambooth.training.trainer.stepping import Stepped, Stepper
from lib_dreambooth.training.trainer.timing import Regular, state_interval

log = logging.getLogger(__name__)
TRAINING, SAVING, VALIDATING = "training", "saving", "validating"
# Threads that put batches together, and how many batches they are ahead.
WORKERS, AHEAD = 2, 4


@dataclass(frozen=True)
class Desk:
    """What a run is given beside its settings; the run itself knows no model folder and no host."""

    rooms: Rooms
    states: Path
    samples: Path
    export: Callable[[Ready], Exporter]
    started: Callable[[Ready, int], Event]
    show: Callable[[Path], str] = str
    host_pictures: PictureSettings = field(default_factory=PictureSettings)
    lineage: int = 0


@dataclass(frozen=True)
class Ended:
    """How a run ended, after how many steps, and what it wrote."""

    outcome: str
    step: int
    results: tuple[Result, ...] = ()


class Trainer:
    """One run. Make it, call `run` once; everything else goes through the control and the events."""

    def __init__(
        self,
        run: Run,
        device: torch.device,
        desk: Desk,
        control: Control,
        emit: Callable[[Event], object],
        state: TrainingState | None = None,
    ) -> None:
        self.settings = run
        self.device = device
        self.desk = desk
        self.control = control
        self.emit = emit
        self.state = state
        self.step = 0 if state is None else state.step
        self.results: list[Result] = []
        self._started = time.monotonic()

    def run(self) -> Ended:
        """Trains to the end, or until a command or an error ends it; the model is given back in any case.

        Raises what went wrong, after telling it.
        """
        ready: Ready | None = None
        with ExitStack() as given_back:
            try:
                ready = self._prepare(given_back)
                outcome = self._train(ready)
            except Cancelled:
                outcome = DISCARDED if self.control.is_discarded else CANCELLED
            except UserError as error:
                self.emit(finished_with(error, self.step, self._seconds()))
                raise
            except BaseException as error:
                text = f"something went wrong that should not ({type(error).__name__}: {error})."
                found = UserError(text, todo="The log has the details.", code="internal-error")
                self.emit(finished_with(found, self.step, self._seconds()))
                raise
            self.emit(Finished(outcome=outcome, step=self.step, seconds=self._seconds()))
        return Ended(outcome, self.step, tuple(self.results))

    def _seconds(self) -> float:
        return time.monotonic() - self._started - self.control.seconds_paused

    def _prepare(self, given_back: ExitStack) -> Ready:
        """All phases before the first step."""
        run = self.settings
        deterministic = run.draws.deterministic or self.device.type == "cpu"
        given_back.enter_context(switched(tf32=run.precision.tf32, deterministic=deterministic))
        preparer = Preparer(run, self.device, self.desk.rooms, self.control, self.emit)
        scanned = preparer.scan()
        model = preparer.read()
        given_back.callback(model.modules.clear)
        scanned = preparer.class_pictures(model, scanned)
        ready = preparer.ready(model, scanned)
        given_back.callback(self._close, ready)
        failed = encode_epoch(ready, self._epoch(ready), self.control, preparer.progress).failed
        if failed:
            for finding in failed.values():
                text = " ".join((finding.what, finding.effect, finding.todo))
                self.emit(Warned(text=text, where=", ".join(finding.paths), code=finding.code))
            self._close(ready)
            ready = preparer.ready(model, scanned, frozenset(failed))
            given_back.callback(self._close, ready)
        if self.state is not None:
            self._restore(ready, self.state)
        self._settle(ready, given_back)
        return ready

    def _epoch(self, ready: Ready) -> int:
        return ready.dataset.plan.epoch_of(self.step)

    def _restore(self, ready: Ready, state: TrainingState) -> None:
        """Goes on from a state; what is different is told, or refused."""
        found = differences_on_resume(state.to_saved()[1], ready.run, self._surroundings(ready))
        refuse_unsafe(found)
        for difference in found:
            self.emit(Warned(text=difference.line(), where=difference.field, code="changed-on-resume"))
        restore(ready, state)

    def _surroundings(self, ready: Ready) -> Surroundings:
        plan = ready.dataset.plan
        items = [[item.id, item.repeats, item.is_class] for item in plan.items]
        order = digest(items, [list(bucket) for bucket in plan.buckets], repr(plan.settings))
        return surroundings(ready.model.source.sha256, order, self.device.type)

    def _settle(self, ready: Ready, given_back: ExitStack) -> None:
        """What the steps want of the model: attention, checkpointing, idle parts away."""
        memory = ready.run.memory
        model = ready.model
        given_back.enter_context(attention(model.unet, memory.attention))
        cautious = "off" if self.device.type == "cpu" else "on"
        level = cautious if memory.checkpointing == "auto" else memory.checkpointing
        trained = {part: module for part, module in model.modules.items() if part in self._trained(ready)}
        self._forward = given_back.enter_context(checkpointing(trained, level))
        if ready.unloads:
            for part in ready.idle_parts():
                model.to(part, "cpu")
        self.control.leave_card = lambda: move(ready, torch.device("cpu"))
        self.control.take_card = lambda: move(ready, self.device)
        given_back.callback(self._forget_card)

    def _forget_card(self) -> None:
        self.control.leave_card = self.control.take_card = lambda: None

    def _trained(self, ready: Ready) -> set[str]:
        # Gradients of a text encoder's network reach it through the UNet.
        return {UNET, *ready.trained.trained_roots()}

    def _close(self, ready: Ready) -> None:
        ready.optimizer.close()
        ready.trained.eject()

    def _train(self, ready: Ready) -> str:
        """All steps, then what is due at the end."""
        work = Work(self, ready)
        self.emit(self.desk.started(ready, self.step))
        work.saver.require_space()
        if self.step == 0 and ready.run.previews.at_start:
            work.previewer.draw(0)
        ready.trained.training(True)
        self.emit(Phase(name=TRAINING, done=self.step, total=ready.length.total_steps))
        with self._forward:
            work.go_on()
        return work.end()


class Work:
    """The steps of a run that is ready, and what falls due between them."""

    def __init__(self, trainer: Trainer, ready: Ready) -> None:
        self.trainer = trainer
        self.ready = ready
        self.control = trainer.control
        self.emit = trainer.emit
        desk, run = trainer.desk, ready.run
        self.saver = Saver(
            ready,
            desk.export(ready),
            desk.states,
            trainer._surroundings(ready),
            self.emit,
            desk.show,
            desk.lineage,
        )
        previews = previews_of(run, desk.host_pictures, run.draws.seed % (1 << 32))
        artist = PreviewArtist(ready.model, previews, desk.samples, ready.model.source.sha256)
        self.previewer = Previewer(ready, artist, self.control, self.emit, desk.show)
        self.stepper = Stepper(ready, self._part_stopped)
        self.curves = Curves(ready)
        if trainer.state is not None:
            self.curves.smoothed = trainer.state.numbers.get(saved.CURVES, {}).get("smoothed")
        length = ready.length
        self.saves = Regular(run.saving.every, length)
        self.states = Regular(state_interval(run), length)
        self.samples = Regular(run.previews.every, length)
        self.validations = Regular(run.validation.every, length)
        self.rests = Regular(run.length.pause_every, length)

    @property
    def step(self) -> int:
        return self.trainer.step

    @property
    def is_over(self) -> bool:
        total = self.ready.length.total_steps
        return total is not None and self.step >= total

    def go_on(self) -> None:
        """Takes steps until the end or a stop."""
        while not self.is_over and self.control.stop is None:
            for batches in self._epoch():
                self.control.step = self.step
                self.control.look()
                if self.control.stop in (StopAfterStep, StopWithoutSaving):
                    return
                self._take(batches)

    def _epoch(self) -> Iterator[list[Batch]]:
        """The batches of the steps that are left of an epoch."""
        ready, spe = self.ready, self.ready.dataset.plan.steps_per_epoch
        epoch = self.step // spe
        self.curves.rest()
        encode_epoch(ready, epoch, self.control, self._quiet)
        end = (epoch + 1) * spe
        if ready.length.total_steps is not None:
            end = min(end, ready.length.total_steps)
        workers = ready.run.memory.workers
        return feed(
            ready.dataset.plan,
            ready.assembler.make,
            self.step,
            end,
            workers=WORKERS if workers < 0 else workers,
            depth=AHEAD if workers else 0,
            class_weight=class_weights(ready.run.class_pictures, ready.length),
        )

    def _quiet(self, name: str, done: int, total: int) -> None:
        """Encoding for another epoch is told only where there is something to do."""
        if done < total:
            self.emit(Phase(name=name, done=done, total=total))

    def _take(self, batches: list[Batch]) -> None:
        stepped = self.stepper.take(self.step, batches)
        self.trainer.step += 1
        self.control.step = self.step
        self.curves.add(stepped)
        self._after(stepped)

    def _after(self, stepped: Stepped) -> None:
        """What falls due after a step: told, saved, drawn, measured, in this order."""
        step = self.step
        if self.curves.is_due(step):
            self.emit(self.curves.event(stepped))
        if not stepped.moved:
            text = (
                f"step {step} was left out: its gradients were too large for fp16. The loss scale is lowered."
            )
            self.emit(Warned(text=text, where="precision.mixed", code="overflow"))
        if self.is_over or self.control.stop in (StopAfterStep, StopWithoutSaving):
            return
        self._regular(step)
        if self.rests.is_due(step):
            self.control.rest(self.ready.run.length.pause_for)
            self.curves.rest()

    def _regular(self, step: int) -> None:
        run = self.ready.run
        saves, asked = self.saves.is_due(step), self.control.wants_save
        kinds = list(run.saving.during) if saves or asked else []
        if (asked or self.states.is_due(step)) and STATE not in kinds:
            kinds.append(STATE)
        results = self._save(kinds, "asked for" if asked else "regular")
        self.control.wants_save = False
        if self.samples.is_due(step) or self.control.wants_samples:
            self.control.wants_samples = False
            self._preview(results)
        if self.validations.is_due(step):
            self._validate()

    def _save(self, kinds: list[str], reason: str, *, is_final: bool = False) -> list[Result]:
        if not kinds:
            return []
        self.curves.rest()
        self.emit(Phase(name=SAVING, done=self.step, total=self.ready.length.total_steps))
        numbers: dict[str, Any] = {"smoothed": self.curves.smoothed}
        results = self.saver.save(kinds, self.step, numbers, reason, is_final=is_final)
        self.trainer.results += results
        self._back_to_training()
        return results

    def _preview(self, results: list[Result]) -> None:
        """Draws, and puts the first picture beside the files of the same step."""
        self.curves.rest()
        drawn = self.previewer.draw(self.step)
        for result in results if drawn else ():
            try:
                self.saver.exporter.add_preview(result, drawn[0].read_bytes())
            except (UserError, OSError) as error:
                log.warning("%s got no preview: %s", result.path.name, error)
        self._back_to_training()

    def _validate(self) -> None:
        if not measured_batches(self.ready):
            return
        self.curves.rest()
        self.emit(Phase(name=VALIDATING, done=self.step, total=self.ready.length.total_steps))
        self.emit(Validated(step=self.step, curves=measure(self.ready, self.control.look)))
        self._back_to_training()

    def _back_to_training(self) -> None:
        self.emit(Phase(name=TRAINING, done=self.step, total=self.ready.length.total_steps))

    def end(self) -> str:
        """Writes what the settings say for this ending; gives how it ended."""
        run, stop = self.ready.run, self.control.stop
        if stop is StopWithoutSaving:
            return DISCARDED
        if self.is_over or stop is StopAtEpochEnd:
            results = self._save(list(run.saving.at_end), "end", is_final=True)
            if run.previews.at_end:
                self._preview(results)
            if not run.validation.every.is_never:
                self._validate()
            return DONE
        self._save(list(run.saving.on_cancel), "cancelled", is_final=True)
        return CANCELLED

    def _part_stopped(self, part: str) -> None:
        self.emit(Warned(text=f"{part} stays as it is from step {self.step} on.", code="part-stopped"))


def move(ready: Ready, device: torch.device) -> None:
    """Everything of a run to the card, or away from it."""
    idle = set(ready.idle_parts()) if ready.unloads else set()
    for name in ready.model.modules:
        ready.model.to(name, "cpu" if name in idle else device)
    for part in ready.parts:
        part.parameter.data = part.parameter.data.to(device)
    ready.optimizer.to(device)
    if device.type == "cpu" and ready.device.type == "cuda":
        torch.cuda.empty_cache()
