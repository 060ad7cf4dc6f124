"""Writes files for use and states, from weights that are put in place for it and back again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from lib_dreambooth.adapters.together import beside_words, network_in, words_in
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.runs import kept_states, states
from lib_dreambooth.runs.events import Event, Phase, Saved, Warned
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training import state as saved
from lib_dreambooth.training.export.adapter_file import Words
from lib_dreambooth.training.export.files import Exporter
from lib_dreambooth.training.export.result import (
    ADAPTER,
    CHECKPOINT,
    DIFFUSERS,
    EMBEDDING,
    Result,
    stem_of,
)
from lib_dreambooth.training.export.states import Replaced, merged, require_finite
from lib_dreambooth.training.state import Surroundings, TrainingState
from lib_dreambooth.training.trainer.mishaps import give_memory_back, sentence_for
from lib_dreambooth.training.trainer.ready import Ready

RESULT, STATE = "result", "state"
SAVING = "saving"
EMA_LABEL = "ema"


@dataclass(eq=False)
class Saver:
    """Writes what a run makes; `show` gives a path as events tell it."""

    ready: Ready
    exporter: Exporter
    states_dir: Path
    surroundings: Surroundings
    emit: Callable[[Event], object]
    show: Callable[[Path], str]
    lineage: int = 0
    failed: list[UserError] = field(default_factory=list)  # what the last `save` could not write
    # What was written last of each kind, and after which step: the same weights are not written twice.
    _written: dict[str, tuple[int, list[Result]]] = field(default_factory=dict)

    def require_space(self) -> None:
        """Raises FileError where the disk has no room for one state and one file of each kind."""
        states.check_space(self.states_dir, self._needed(STATE))
        saving = self.ready.run.saving
        for kind in dict.fromkeys((*saving.during, *saving.at_end)):
            if kind != STATE:
                self.exporter.require_space(self._folder_kind(kind), self._needed(kind), "one more file")

    def _needed(self, kind: str) -> int:
        ready, trained = self.ready, self.ready.trained
        if kind == STATE:
            return states.bytes_needed(self._state(0, {}).to_saved()[0])
        network, words = network_in(trained), words_in(trained)
        if beside_words(trained) is None and words is not None:
            tensors = list(words.state().values())
        elif network is not None and kind == RESULT:
            tensors = [part for module in network.export().values() for part in module.parts.values()]
        else:
            tensors = [weight for module in ready.model.modules.values() for weight in module.parameters()]
        return self.exporter.needed_bytes(tensors) * len(self._labels())

    def _folder_kind(self, kind: str) -> str:
        if beside_words(self.ready.trained) is None:
            return EMBEDDING
        if kind == RESULT:
            return CHECKPOINT if network_in(self.ready.trained) is None else ADAPTER
        return kind

    def save(
        self,
        kinds: Sequence[str],
        step: int,
        numbers: Mapping[str, Any],
        reason: str,
        *,
        is_final: bool = False,
    ) -> list[Result]:
        """Writes each kind that is not there of this step yet; gives the files of all of them.

        What cannot be written is told, stands in `failed`, and costs nothing else.
        """
        results: list[Result] = []
        self.failed = []
        takes_words = words_kind(kinds)
        for kind in dict.fromkeys(kinds):
            if self._written.get(kind, (-1, []))[0] == step:
                results += self._written[kind][1]
                continue
            self.emit(Phase(name=SAVING, done=step, total=self.ready.length.total_steps, detail=kind))
            try:
                if kind == STATE:
                    self.state(step, numbers, reason)
                    files = []
                else:
                    has_words = kind == takes_words
                    files = self.files(kind, step, reason, is_final=is_final, has_words=has_words)
                self._written[kind] = step, files
                results += files
            except (UserError, RuntimeError, MemoryError, OSError) as error:
                told = sentence_for(error, f"{SAVING} ({kind})")
                if told is None:
                    raise
                self.failed.append(told)
                self.emit(Warned(text=told.sentence(), where=told.where, code=told.code))
                give_memory_back()
        return results

    def state(self, step: int, numbers: Mapping[str, Any], reason: str) -> Path:
        """A state to go on from; older ones beyond the number wanted go."""
        tensors, scalars = self._state(step, numbers).to_saved()
        for name, tensor in tensors.items():
            # A state like this would take the place of one that can be gone on from.
            if not name.startswith(f"{saved.OPTIMIZER}{saved.MARK}"):
                require_finite(name, tensor)
        path = states.write_state(self.states_dir, step, tensors, scalars, lineage=self.lineage)
        kept_states.prune(self.states_dir, self.ready.run.saving.keep_states, trusted=path)
        self._tell(path, STATE, step, reason, states.bytes_needed(tensors))
        return path

    def files(
        self, kind: str, step: int, reason: str, *, is_final: bool, has_words: bool = True
    ) -> list[Result]:
        """The files of a kind: of the live weights, of their average, or of both; words before the rest."""
        results = []
        for label in self._labels():
            with in_use(self.ready, is_average=label == EMA_LABEL):
                written = self._files(kind, step, label, is_final, has_words)
            for result in written:
                results.append(result)
                what = EMBEDDING if result.kind == EMBEDDING else kind
                self._tell(result.path, what, step, reason, result.size)
        return results

    def _labels(self) -> tuple[str, ...]:
        if self.ready.averages is None:
            return ("",)
        return {"average": (EMA_LABEL,), "live": ("",), "both": ("", EMA_LABEL)}[self.ready.run.ema.save]

    def _files(self, kind: str, step: int, label: str, is_final: bool, has_words: bool) -> list[Result]:
        words, others = words_in(self.ready.trained), beside_words(self.ready.trained)
        when: dict[str, Any] = {"step": step, "epoch": self.epoch_of(step), "is_final": is_final}
        # One of both averages needs no word for it.
        when["label"] = label if self.ready.run.ema.save == "both" else ""
        rows = words.export() if words is not None and has_words else {}
        is_bundle = (
            kind == RESULT and network_in(self.ready.trained) is not None and self.exporter.bundles_words
        )
        alone = {} if is_bundle else rows
        files = {word: self.exporter.write_word(word, vectors, **when) for word, vectors in alone.items()}
        if others is None:
            return list(files.values())
        when["called"] = {word: stem_of(file.path) for word, file in files.items()}
        return [*files.values(), self._file(kind, rows if is_bundle else {}, when)]

    def _file(self, kind: str, words: Words, when: Mapping[str, Any]) -> Result:
        """A network with the words that lie in it, or a checkpoint."""
        ready, network = self.ready, network_in(self.ready.trained)
        if network is not None:
            if kind == RESULT:
                return self.exporter.write_adapter(network.export(), network.names, words=words, **when)
            changes = network.changes()
            roots = {target.part for target in changes}
            replaced: Replaced | None = merged(ready.model, changes)
        else:
            roots, replaced = {part.part for part in ready.parts if part.part in ready.model.modules}, None
        write = self.exporter.write_diffusers if kind == DIFFUSERS else self.exporter.write_checkpoint
        return write(ready.model, trained=roots, replaced=replaced, **when)

    def epoch_of(self, step: int) -> int:
        """The epoch that a step belongs to, counted from 1."""
        return -(-step // self.ready.length.epoch.steps)

    def _tell(self, path: Path, what: str, step: int, reason: str, num_bytes: int) -> None:
        epoch = step / self.ready.length.epoch.steps
        self.emit(
            Saved(
                paths=(self.show(path),),
                what=what,
                step=step,
                epoch=epoch,
                reason=reason,
                num_bytes=num_bytes,
            )
        )

    def _state(self, step: int, numbers: Mapping[str, Any]) -> TrainingState:
        ready = self.ready
        moved, tree = ready.optimizer.state()
        tensors: dict[str, Mapping[str, Tensor]] = {
            saved.TRAINED: ready.trained.state(),
            saved.OPTIMIZER: moved,
        }
        found: dict[str, Any] = {saved.OPTIMIZER: tree, **numbers}
        if ready.averages is not None:
            tensors[saved.EMA], found[saved.EMA] = ready.averages.state()
        if ready.scale is not None:
            found[saved.SCALER] = ready.scale.state()
        return TrainingState(step, text_of(Sourced(ready.run)), self.surroundings, tensors, found)


def words_kind(kinds: Sequence[str]) -> str:
    """Which of the kinds that are written together brings the words: the result, else the first file."""
    files = [kind for kind in kinds if kind != STATE]
    return RESULT if RESULT in files else next(iter(files), "")


def restore(ready: Ready, state: TrainingState) -> None:
    """Puts everything that a state holds in place."""
    ready.trained.load(state.tensors[saved.TRAINED])
    ready.optimizer.load(state.tensors[saved.OPTIMIZER], state.numbers[saved.OPTIMIZER])
    ready.optimizer.set_rates(state.step)
    if ready.averages is not None:
        ready.averages.load(state.tensors[saved.EMA], state.numbers[saved.EMA])
    if ready.scale is not None and saved.SCALER in state.numbers:
        ready.scale.load(state.numbers[saved.SCALER])


@contextlib.contextmanager
def in_use(ready: Ready, *, is_average: bool) -> Iterator[None]:
    """The weights as they are used: those of schedule-free optimizers for drawing, or the average of them."""
    if is_average and ready.averages is not None:
        with ready.averages.swapped():
            yield
        return
    with ready.optimizer.evaluating():
        yield
