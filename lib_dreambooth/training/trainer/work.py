"""The steps of a run that is ready, and what falls due between them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any

from torch import Tensor

from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.feeding.feed import feed
from lib_dreambooth.runs.commands import StopAfterStep, StopAtEpochEnd, StopWithoutSaving
from lib_dreambooth.runs.events import CANCELLED, DISCARDED, DONE, Event, Phase, Validated, Warned
from lib_dreambooth.settings.sections.saving import KINDS
from lib_dreambooth.training import state as saved
from lib_dreambooth.training.export.result import DIFFUSERS, Result
from lib_dreambooth.training.objective.prior import class_weights
from lib_dreambooth.training.precision.devices import name_of, room_of
from lib_dreambooth.training.precision.sparing import Sparing
from lib_dreambooth.training.previews.chosen import captions_shown, previews_of
from lib_dreambooth.training.previews.drawing import PreviewArtist
from lib_dreambooth.training.state import Surroundings
from lib_dreambooth.training.trainer.assembling import Forgiving
from lib_dreambooth.training.trainer.awaited import Awaited, Stepped
from lib_dreambooth.training.trainer.control import STOPS, Control
from lib_dreambooth.training.trainer.curves import Curves
from lib_dreambooth.training.trainer.desk import Desk
from lib_dreambooth.training.trainer.epochs import encode_epoch
from lib_dreambooth.training.trainer.measuring import measure, measured_batches
from lib_dreambooth.training.trainer.mishaps import (
    give_memory_back,
    is_out_of_memory,
    out_of_memory,
    release,
    sentence_for,
)
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.relief import Spared, relieve
from lib_dreambooth.training.trainer.replaying import Replays, replays_of
from lib_dreambooth.training.trainer.sampling import Previewer
from lib_dreambooth.training.trainer.saving import STATE, Saver
from lib_dreambooth.training.trainer.spilling import Watch
from lib_dreambooth.training.trainer.stepping import NOT_FINITE, Stepper
from lib_dreambooth.training.trainer.telling import Telling
from lib_dreambooth.training.trainer.timing import Regular, state_interval

log = logging.getLogger(__name__)
TRAINING, VALIDATING = "training", "validating"
# Threads that put batches together, and how many batches they are ahead.
WORKERS, AHEAD = 2, 4
# Elsewhere a full card is an error.
SPILLS = sys.platform == "win32"
AT_ONCE = (StopAfterStep, StopWithoutSaving)


class Work:
    """Takes the steps; `step` is how many are done, `numbers` what the state had of them beside tensors."""

    def __init__(
        self,
        ready: Ready,
        desk: Desk,
        control: Control,
        emit: Callable[[Event], object],
        surroundings: Surroundings,
        step: int = 0,
        numbers: Mapping[str, Any] | None = None,
    ) -> None:
        self.ready = ready
        self.control = control
        self.emit = emit
        self._tell = Telling(emit)
        self.step = step
        self.results: list[Result] = []
        run, length = ready.run, ready.length
        self.saver = Saver(
            ready, desk.export(ready), desk.states, surroundings, emit, desk.show, desk.lineage
        )
        captions = captions_shown(ready.dataset)
        previews = previews_of(run, desk.host_pictures, run.draws.seed % (1 << 32), captions)
        artist = PreviewArtist(ready.model, previews, desk.samples, ready.model.source.sha256)
        self.previewer = Previewer(ready, artist, control, emit, desk.show)
        self.stepper = Stepper(ready, self._part_stopped, self._replays)
        self.batches = Forgiving(ready.assembler, emit)
        self.curves = Curves(ready)
        self.curves.load((numbers or {}).get(saved.CURVES, {}))
        self.saves = Regular(run.saving.every, length)
        self.states = Regular(state_interval(run), length)
        self.samples = Regular(run.previews.every, length)
        self.validations = Regular(run.validation.every, length)
        self.rests = Regular(run.length.pause_every, length)
        self.sparing: Sparing | None = None
        # What memory made of earlier parts of the run, and then of this one.
        self.spared = Spared.from_json((numbers or {}).get(saved.SPARED, {}), name_of(ready.device))
        self._tried = self.spared
        if not ready.is_fused:
            self.stepper.pieces = max(self.stepper.pieces, self.spared.pieces)
        self.watch = Watch()
        self._last_state = step
        self._previewed = -1

    @property
    def is_over(self) -> bool:
        total = self.ready.length.total_steps
        return total is not None and self.step >= total

    @property
    def _stops_now(self) -> bool:
        return self.control.stop in AT_ONCE

    def begin(self) -> None:
        """Raises FileError where files would not find room, and draws the untouched model."""
        self.saver.require_space()
        if self.step == 0 and self.ready.run.previews.at_start:
            self.preview([])

    def go_on(self) -> None:
        """Takes steps until the end or a stop."""
        while not self.is_over and not self.control.makes:
            try:
                batches = self._epoch()
            except Cancelled:
                self._agree()
                return
            try:
                self._take_all(batches)
            except Exception as error:
                if getattr(error, "code", "") != NOT_FINITE:
                    self._rescue()
                raise
            if self._stops_now:
                return
            # What was asked for during the epoch's last step still ends it here.
            self.control.look()
            self._agree()
            if self.control.stop is not None:
                return

    def _take_all(self, batches: Generator[list[Batch], None, None]) -> None:
        with closing(batches):
            for step in batches:
                self.control.step = self.step
                away = self.control.seconds_away
                self.control.look()
                self.curves.leave_out(self.control.seconds_away - away)
                self._agree()
                if self._stops_now:
                    return
                self._take(step)

    def _agree(self) -> None:
        """All processes stop where the main one was asked to."""
        asked = 0 if self.control.stop is None else 1 + STOPS.index(self.control.stop)
        said = self.ready.process.agreed_number(asked)
        self.control.stop = STOPS[said - 1] if said else None

    def _epoch(self) -> Generator[list[Batch], None, None]:
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
            self.batches.make,
            self.step,
            end,
            process=ready.process.rank,
            workers=WORKERS if workers < 0 else workers,
            depth=AHEAD if workers else 0,
            class_weight=class_weights(ready.run.class_pictures, ready.length),
        )

    def _quiet(self, name: str, done: int, total: int) -> None:
        """Encoding for another epoch is told only where there is something to do."""
        if done < total:
            self._tell(name, done, total)

    def _take(self, batches: list[Batch]) -> None:
        begun = time.monotonic()
        stepped = self._stepped(batches)
        # What helped: a run that ends all the same may go on where more memory is free.
        self.spared = self._tried
        if SPILLS and self.watch.add(time.monotonic() - begun, *room_of(self.ready.device)):
            self._spare("the card is full and steps take many times as long as before")
        self.step += 1
        self.control.step = self.step
        self.curves.add(stepped)
        self._after(stepped)

    def _stepped(self, batches: list[Batch]) -> Stepped | Awaited:
        """The step; where memory ends before anything has moved, again and more sparingly.

        Its draws are functions of its pictures, so that it comes out as if it had been taken so at once.
        """
        while True:
            try:
                return self.stepper.take(self.step, batches)
            except Exception as error:
                # Other processes wait for this one's gradients.
                can = not self.stepper.is_moving and self.ready.process.is_alone
                if not can or not is_out_of_memory(error):
                    raise
                if not self._spare("memory did not suffice"):
                    raise out_of_memory(error, TRAINING, is_last=True) from error
                release(error)
            self.ready.optimizer.zero_grad()
            give_memory_back()

    def _spare(self, why: str) -> bool:
        """Takes steps more sparingly from here on; whether there was a way to."""
        if self.sparing is None or (found := relieve(self.sparing, self.stepper)) is None:
            return False
        is_away = self.ready.optimizer.is_state_away
        self._tried = Spared(name_of(self.ready.device), self.sparing.level, self.stepper.pieces, is_away)
        text = f"step {self.step + 1}: {why}. {found.text}"
        self.emit(Warned(text=text, where=found.where, code="saving-memory"))
        return True

    def _rescue(self) -> None:
        """What fails while nothing moves leaves whole weights: they are kept if they can be."""
        self.ready.optimizer.zero_grad()
        if self.stepper.is_moving or self.step == self._last_state:
            return
        give_memory_back()
        self._save([STATE], "rescued")

    def _after(self, stepped: Stepped | Awaited) -> None:
        """What falls due after a step: told, saved, drawn, measured, in this order."""
        step = self.step
        if self.curves.is_due(step):
            self.emit(self.curves.event(stepped))
        if not stepped.moved:
            text = (
                f"step {step} was left out: its gradients were too large for fp16. The loss scale is lowered."
            )
            self.emit(Warned(text=text, where="precision.mixed", code="overflow"))
        if self.is_over or self._stops_now:
            return
        self._regular(step)
        if self.rests.is_due(step):
            self.control.rest(self.ready.run.length.pause_for)
            self.curves.rest()

    def _regular(self, step: int) -> None:
        run = self.ready.run
        saves, asked = self.saves.is_due(step), self.control.wants_save
        wanted = self._files_wanted()
        kinds = [*(run.saving.during if saves or asked else ()), *wanted]
        if (self.states.is_due(step) or asked) and STATE not in kinds:
            kinds.append(STATE)
        results = self._save(kinds, "asked for" if asked or wanted else "regular")
        self.control.wants_save = False
        if self.samples.is_due(step) or self.control.wants_samples:
            self.preview(results)
        elif wanted:
            self._show(results)
        if self.validations.is_due(step):
            self._validate()

    def _files_wanted(self) -> tuple[str, ...]:
        """Kinds of files that were asked for, which is answered with this."""
        wanted, self.control.wants_files = self.control.wants_files, ()
        return tuple(kind for kind in wanted if kind in KINDS)

    def _show(self, results: list[Result]) -> None:
        """One picture beside files that were asked for."""
        if any(result.kind != DIFFUSERS for result in results):
            self.preview(results, most=1)

    def _save(self, kinds: list[str], reason: str, *, is_final: bool = False) -> list[Result]:
        if not kinds:
            return []
        self.curves.rest()
        numbers: dict[str, Any] = {saved.CURVES: self.curves.state()}
        if self.spared.device:
            numbers[saved.SPARED] = self.spared.to_json()
        results = self.saver.save(kinds, self.step, numbers, reason, is_final=is_final)
        if STATE in kinds:
            self._last_state = self.step
        paths = {result.path for result in results}
        self.results[:] = [one for one in self.results if one.path not in paths] + results
        self._back_to_training()
        return results

    def preview(self, results: list[Result], most: int | None = None) -> None:
        """Draws, all previews or at `most` so many, and puts the first beside the files of the same step."""
        if most is None:
            # Before: who asks while they are drawn gets others.
            self.control.wants_samples = False
            self._previewed = self.step
        self.curves.rest()
        drawn = self.previewer.draw(self.step, most)
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
        try:
            self.emit(Validated(step=self.step, curves=measure(self.ready, self.control.check, self.emit)))
        except Cancelled:
            # The loop sees the stop; half a measurement is none.
            pass
        except (UserError, RuntimeError, MemoryError, OSError) as error:
            self._told_or_raised(error)
        self._back_to_training()

    def _told_or_raised(self, error: Exception) -> None:
        """What only spoils a measurement does not end the run."""
        told = sentence_for(error, VALIDATING)
        if told is None:
            raise error
        self.emit(Warned(text=told.sentence(), where=told.where, code=told.code))
        give_memory_back()

    def _back_to_training(self) -> None:
        self.emit(Phase(name=TRAINING, done=self.step, total=self.ready.length.total_steps))

    def end(self) -> str:
        """Writes what the settings say for this ending; gives how it ended.

        Raises what could not be written, after all else is done.
        """
        # Asked for during the last step.
        self.control.look()
        run, stop = self.ready.run, self.control.stop
        if stop is StopWithoutSaving:
            return DISCARDED
        self.curves.settle()
        if self.control.makes:
            # The run stands as it stood.
            results = self._save(list(self.control.makes), "asked for")
            self._show(results)
            failed, outcome = self.saver.failed, DONE if self.is_over else CANCELLED
        elif self.is_over or stop is StopAtEpochEnd:
            kinds = [*run.saving.at_end, *self._files_wanted()]
            results = self._save(kinds, "end", is_final=True)
            failed = self.saver.failed
            is_drawn = self._previewed == self.step
            if (run.previews.at_end and not is_drawn) or self.control.wants_samples:
                self.preview(results)
            if not run.validation.every.is_never:
                self._validate()
            outcome = DONE
        else:
            # Nothing was trained yet: there is nothing to keep.
            kinds = [*run.saving.on_cancel, *self._files_wanted()] if self.step else []
            self._save(kinds, "cancelled", is_final=True)
            failed, outcome = self.saver.failed, CANCELLED
        if failed:
            raise failed[0]
        return outcome

    def _part_stopped(self, part: str) -> None:
        self.emit(Warned(text=f"{part} stays as it is from step {self.step} on.", code="part-stopped"))

    def _replays(self, ready: Ready, is_spoilt: Tensor) -> Replays | None:
        return replays_of(ready, is_spoilt, self._not_recorded)

    def _not_recorded(self, why: str) -> None:
        text = f"steps are not recorded ({why}); training goes on without."
        self.emit(Warned(text=text, where="memory.cuda_graphs", code="no-graphs"))
