"""The untouched model's answers for a whole run, stored before anything of it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.order.batches import MicroBatch, split
from lib_dreambooth.runs.events import Event
from lib_dreambooth.training.trainer.assembling import Forgiving
from lib_dreambooth.training.trainer.base_answers import Stored
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.epochs import Progress, encode_epoch
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.stepping import encoded

ASKING = "asking the base model"


def store_answers(
    ready: Ready, first_step: int, control: Control, progress: Progress, emit: Callable[[Event], object]
) -> None:
    """Stores the answers for all steps from the first one on; the model has to be the base still."""
    stored, total = ready.base_answers, ready.length.total_steps
    assert isinstance(stored, Stored) and total is not None
    batches = Forgiving(ready.assembler, emit)
    spe = ready.dataset.plan.steps_per_epoch
    try:
        for epoch in range(first_step // spe, -(-total // spe)):
            steps = range(max(first_step, epoch * spe), min(total, (epoch + 1) * spe))
            asking = list(asking_batches(ready, steps))
            if asking:
                encode_epoch(ready, epoch, control, lambda name, done, total: None)
            for plan in asking:
                control.check()
                progress(ASKING, plan.step - first_step, total - first_step)
                keep(ready, stored, batches.make(plan))
    finally:
        stored.flush()
    progress(ASKING, total - first_step, total - first_step)


def asking_batches(ready: Ready, steps: range) -> Iterator[MicroBatch]:
    """This process's micro-batches of some steps in which the base may be asked."""
    plan, prior = ready.dataset.plan, ready.objective.prior
    for step in steps:
        for batch in split(plan.step(step), ready.process.rank, plan.settings.processes):
            if any(prior.may_ask(visit.item) for visit in batch.visits):
                yield batch


def keep(ready: Ready, stored: Stored, batch: Batch) -> None:
    """Stores the answers for a micro-batch."""
    batch = encoded(ready, batch) if batch.latents is None else batch
    noised = ready.objective.noised(batch)
    rows = ready.objective.prior.asked(batch.plan.visits, noised.masks)
    if rows:
        stored.keep(batch, noised, rows)
