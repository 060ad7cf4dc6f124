"""Batches where a picture went or broke while the run was under way: it goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.feeding.batch import Assembler, Batch
from lib_dreambooth.data.order.batches import MicroBatch, Visit
from lib_dreambooth.runs.events import Event, Warned


class Forgiving:
    """Makes batches. What is gone from the cache is made from its picture again, for the same numbers.

    A visit whose picture cannot be had either counts nothing, and each such picture is told once: another
    visit of the epoch stands in for its tensors without a share in the loss, so that the order of all others
    stays as it is.
    """

    def __init__(self, assembler: Assembler, emit: Callable[[Event], object]) -> None:
        self.assembler = assembler
        self.emit = emit
        self._told: set[str] = set()

    def make(self, plan: MicroBatch) -> Batch:
        """The tensors of one micro-batch; raises UserError where no picture of the epoch can be had."""
        try:
            return self.whole(plan)
        except UserError as error:
            return self.whole(self._without_broken(plan, error))

    def whole(self, plan: MicroBatch) -> Batch:
        """The same with every picture; raises UserError where one cannot be had."""
        try:
            return self.assembler.make(plan)
        except UserError:
            return replace(self.assembler, latents=None).make(plan)

    def _without_broken(self, plan: MicroBatch, error: UserError) -> MicroBatch:
        is_whole = [self._can_make(replace(plan, visits=(visit,))) for visit in plan.visits]
        pairs = list(zip(plan.visits, is_whole, strict=True))
        self._tell((visit for visit, whole in pairs if not whole), error)
        found = next((visit for visit, whole in pairs if whole), None)
        if found is not None:
            visits = tuple(visit if whole else idle(found) for visit, whole in pairs)
            return replace(plan, visits=visits)
        other = next((batch for batch in self._epoch_of(plan) if self._can_make(batch)), None)
        if other is None:
            raise error
        return replace(other, visits=tuple(map(idle, other.visits)))

    def _can_make(self, plan: MicroBatch) -> bool:
        try:
            self.whole(plan)
        except UserError:
            return False
        return True

    def _epoch_of(self, plan: MicroBatch) -> Iterator[MicroBatch]:
        order = self.assembler.dataset.plan
        start = plan.epoch * order.steps_per_epoch
        for step in order.steps(start, start + order.steps_per_epoch):
            yield from step

    def _tell(self, visits: Iterable[Visit], error: UserError) -> None:
        for path in dict.fromkeys(visit.item.path for visit in visits):
            if path not in self._told:
                self._told.add(path)
                text = "this picture cannot be read any more and is left out from here on. Put it back."
                self.emit(Warned(text=text, where=path, code=error.code))


def idle(visit: Visit) -> Visit:
    """The same visit without a share in the loss."""
    return replace(visit, share=0.0)
