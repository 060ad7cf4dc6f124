"""A run from its first phase to its last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from lib_dreambooth.adapters.joining import joined
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.adapters.together import network_in
from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.lean import lean
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.runs.events import (
    CANCELLED,
    DISCARDED,
    Event,
    Finished,
    Phase,
    Warned,
    finished_with,
)
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.result import Result
from lib_dreambooth.training.precision.attention import attention
from lib_dreambooth.training.precision.compiling import compiled, compiles, why_not
from lib_dreambooth.training.precision.devices import name_of
from lib_dreambooth.training.precision.flags import switched
from lib_dreambooth.training.precision.sparing import Sparing
from lib_dreambooth.training.processes import ALONE, Processes
from lib_dreambooth.training.resuming import differences_on_resume, refuse_unsafe
from lib_dreambooth.training.speed.blocks import in_expressions
from lib_dreambooth.training.speed.residuals import residuals
from lib_dreambooth.training.state import SPARED, Surroundings, TrainingState, surroundings
from lib_dreambooth.training.trainer.asking import store_answers
from lib_dreambooth.training.trainer.base_answers import Stored
from lib_dreambooth.training.trainer.card import Card
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.desk import Desk, Ended
from lib_dreambooth.training.trainer.epochs import encode_epoch
from lib_dreambooth.training.trainer.follower import Follower
from lib_dreambooth.training.trainer.mishaps import give_memory_back, release, sentence_for
from lib_dreambooth.training.trainer.preparing import Preparer
from lib_dreambooth.training.trainer.ready import Materials, Ready
from lib_dreambooth.training.trainer.relief import Spared
from lib_dreambooth.training.trainer.saving import restore
from lib_dreambooth.training.trainer.taking import AS_SET, Taking
from lib_dreambooth.training.trainer.work import TRAINING, Work

STARTING = "starting"


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
        process: Processes = ALONE,
        taking: Taking = AS_SET,
    ) -> None:
        self.settings = run
        self.taking = taking
        self.device = device
        self.desk = desk
        self.control = control
        self.state = state
        self.process = process
        self.step = 0 if state is None else state.step
        self.results: list[Result] = []
        self._doing = STARTING
        self._tell = emit
        self._numbers: Mapping[str, Any] = {}
        self._started = time.monotonic()

    def run(self) -> Ended:
        """Trains to the end, or until a command or an error ends it; the model is given back in any case.

        Raises what went wrong, after telling it.
        """
        try:
            with ExitStack() as given_back:
                outcome = self._train(self._prepare(given_back), given_back)
        except Cancelled as stop:
            release(stop)
            outcome = DISCARDED if self.control.is_discarded else CANCELLED
        except Exception as error:
            found = sentence_for(error, self._doing)
            release(error)
            self.emit(finished_with(found or internal(error), self.step, self._seconds()))
            if found is None or found is error:
                raise
            raise found from error
        except BaseException as interruption:
            # Ctrl+C where nobody makes a command of it: nothing is the matter with the run.
            release(interruption)
            self.emit(Finished(outcome=CANCELLED, step=self.step, seconds=self._seconds()))
            raise
        give_memory_back()
        self.emit(Finished(outcome=outcome, step=self.step, seconds=self._seconds()))
        return Ended(outcome, self.step, tuple(self.results))

    def emit(self, event: Event) -> None:
        """Tells an event, and keeps in mind what is being done."""
        if isinstance(event, Phase):
            self._doing = event.name
        self._tell(event)

    def _seconds(self) -> float:
        return time.monotonic() - self._started - self.control.seconds_away

    def _prepare(self, given_back: ExitStack) -> Ready:
        """All phases before the first step."""
        run = self.settings
        self._share_state()
        self._refuse_early(None)
        deterministic = run.draws.deterministic or self.device.type == "cpu"
        # PyTorch takes it as leave to be less exact on CPUs too, and previews would not be what files give.
        tf32 = run.precision.tf32 and self.device.type == "cuda"
        switches = switched(tf32=tf32, deterministic=deterministic)
        self.control.on_aside = given_back.enter_context(switches)
        given_back.callback(self._forget_switches)
        preparer = Preparer(
            run, self.device, self.desk.rooms, self.control, self.emit, self.process, self.taking
        )
        scanned = preparer.scan()
        model = preparer.read()
        given_back.callback(model.modules.clear)
        self._refuse_early(model)
        card = Card(model, self.device)
        self.control.on_leave, self.control.on_take = card.leave, card.take
        given_back.callback(self._forget_card)
        scanned = preparer.class_pictures(model, scanned)
        found = preparer.materials(model, scanned)
        failed = encode_epoch(found, self._epoch(found), self.control, preparer.progress).failed
        if failed:
            preparer.tell(failed.values())
            found = preparer.materials(model, scanned, frozenset(failed))
            encode_epoch(found, self._epoch(found), self.control, preparer.progress)
        ready = card.ready = preparer.ready(found)
        given_back.callback(close, ready)
        if isinstance(ready.base_answers, Stored):
            store_answers(ready, self.step, self.control, preparer.progress, self.emit)
            encode_epoch(ready, self._epoch(ready), self.control, preparer.progress)
        self._restore(ready)
        self.process.share([part.parameter for part in ready.parts])
        self._settle(ready, given_back)
        return ready

    def _share_state(self) -> None:
        """The state that the main process goes on from, for all."""
        if self.process.is_alone:
            return
        tensors, scalars = ({}, None) if self.state is None else self.state.to_saved()
        scalars = self.process.agreed(scalars)
        if scalars is not None:
            self.state = TrainingState.from_saved(self.process.shared(tensors), scalars)
            self.step = self.state.step

    def _epoch(self, ready: Materials) -> int:
        return ready.dataset.plan.epoch_of(self.step)

    def _refuse_early(self, model: LoadedModel | None) -> None:
        """Refuses what a state cannot go on with as soon as it is known, before hours of work for nothing."""
        if self.state is None:
            return
        then = self.state.surroundings
        base = then.base_sha256 if model is None else model.source.sha256
        now = replace(then, base_sha256=base)
        refuse_unsafe(differences_on_resume(self.state.to_saved()[1], self.settings, now))

    def _restore(self, ready: Ready) -> None:
        """Goes on from the state, if there is one; what is different is told, or refused."""
        state, self.state = self.state, None
        if state is None:
            return
        found = differences_on_resume(state.to_saved()[1], ready.run, surroundings_of(ready))
        refuse_unsafe(found)
        for difference in found:
            self.emit(Warned(text=difference.line(), where=difference.field, code="changed-on-resume"))
        spared = Spared.from_json(state.numbers.get(SPARED, {}), name_of(self.device))
        if spared.is_state_away and not ready.optimizer.is_state_away:
            ready.optimizer.keep_state_in_system_memory()
        restore(ready, state)
        self._numbers = state.numbers

    def _settle(self, ready: Ready, given_back: ExitStack) -> None:
        """What the steps want of the model."""
        given_back.enter_context(attention(ready.model.unet, ready.run.memory.attention))

    def _forget_switches(self) -> None:
        self.control.on_aside = nullcontext

    def _forget_card(self) -> None:
        self.control.on_leave = self.control.on_take = lambda: None

    def _train(self, ready: Ready, given_back: ExitStack) -> str:
        """All steps, then what is due at the end."""
        make = Work if self.process.is_main else Follower
        work = make(
            ready, self.desk, self.control, self.emit, surroundings_of(ready), self.step, self._numbers
        )
        self.results = work.results
        given_back.callback(self._take_over, work)
        self.emit(self.desk.started(ready, self.step))
        work.begin()
        ready.trained.training(True)
        self.emit(Phase(name=TRAINING, done=self.step, total=ready.length.total_steps))
        level = self.taking.level_for(ready.run.memory.checkpointing, self.device.type)
        level = work.spared.level_from(level)
        with (
            shortened(ready.run, ready.trained, ready.model.unet),
            self._compiled(ready),
            Sparing(lambda: trained_modules(ready), level) as work.sparing,
        ):
            work.go_on()
        return work.end()

    def _compiled(self, ready: Ready) -> AbstractContextManager[Any]:
        """The blocks compiled, where that is wanted and can be."""
        if not compiles(ready.run.memory.compile):
            return nullcontext()
        reason = why_not(self.device)
        if not reason:
            return compiled(trained_modules(ready))
        text = f"torch.compile does not work here ({reason}); training goes on without it."
        self.emit(Warned(text=text, where="memory.compile", code="no-compile"))
        return nullcontext()

    def _take_over(self, work: Work) -> None:
        self.step = work.step


def close(ready: Ready) -> None:
    """Gives the model back as it was read, and the optimizer's memory."""
    ready.optimizer.close()
    ready.trained.eject()


def surroundings_of(ready: Ready) -> Surroundings:
    """Where this run happens, and the order of its pictures."""
    plan = ready.dataset.plan
    items = [[item.id, item.repeats, item.is_class] for item in plan.items]
    # In how many processes a step's micro-batches are taken changes nothing about them.
    together = replace(
        plan.settings, accumulation=plan.settings.accumulation * plan.settings.processes, processes=1
    )
    order = digest(items, [list(bucket) for bucket in plan.buckets], repr(together))
    return surroundings(
        ready.model.source.sha256, order, ready.device.type, processes=plan.settings.processes
    )


def trained_modules(ready: Ready) -> dict[str, torch.nn.Module]:
    """The parts of the model that gradients go through: those of an encoder's network come from the UNet."""
    roots = {UNET, *ready.trained.trained_roots()}
    return {part: module for part, module in ready.model.modules.items() if part in roots}


@contextmanager
def shortened(run: Run, trained: Trainable, unet: torch.nn.Module) -> Iterator[None]:
    """Fewer operations for the same numbers; a compiler sees to that itself."""
    memory, network = run.memory, network_in(trained)
    by_itself = not compiles(memory.compile)
    with ExitStack() as open_:
        if network is not None and is_on(memory.joined, by_itself):
            open_.enter_context(joined(network))
            open_.enter_context(in_expressions(unet, network))
        if is_on(memory.lean, by_itself):
            open_.enter_context(lean(unet))
            open_.enter_context(residuals(unet))
        yield


def is_on(setting: str, auto: bool) -> bool:
    """What "auto", "on" and "off" come to."""
    return auto if setting == "auto" else setting == "on"


def internal(error: Exception) -> UserError:
    """The sentence for a mistake of ours."""
    return UserError(
        f"something went wrong that should not ({type(error).__name__}: {error}).",
        todo="The log has the details.",
        code="internal-error",
    )
