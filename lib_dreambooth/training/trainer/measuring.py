"""The loss on pictures that are only measured, with the same noise every time: learning and forgetting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from lib_dreambooth.adapters.parts import previewing
from lib_dreambooth.data.dataset import validation_seed
from lib_dreambooth.data.order.batches import MicroBatch, fixed_batches
from lib_dreambooth.runs.events import Event
from lib_dreambooth.training.trainer.assembling import Forgiving
from lib_dreambooth.training.trainer.ready import Materials, Ready
from lib_dreambooth.training.trainer.stepping import encoded, losses_of

HELD_OUT, CLASSES = "held out", "class pictures"


def measured_batches(ready: Materials) -> dict[str, list[MicroBatch]]:
    """The batches of each curve; none at all where no pictures are held back."""
    run, dataset = ready.run, ready.dataset
    held_out = dataset.validation_batches()[: run.validation.most or None]
    if run.validation.every.is_never or not held_out:
        return {}
    found = {HELD_OUT: held_out}
    classes = [item for item in dataset.items if item.is_class] if run.validation.class_prompts else []
    if classes:
        buckets = [dataset.bucket(item) for item in classes]
        # There may be thousands: as many as of the others say as much.
        found[CLASSES] = fixed_batches(classes, buckets, run.length.batch_size)[: len(held_out)]
    return found


@torch.no_grad()
def measure(ready: Ready, check: Callable[[], None], emit: Callable[[Event], object]) -> dict[str, float]:
    """Each curve's loss, the mean over its pictures and noise levels; nothing that is trained changes."""
    batches_of = Forgiving(replace(ready.assembler, fresh=False), emit)
    seed = validation_seed(ready.run)
    curves = {}
    with previewing(ready.trained), ready.optimizer.evaluating():
        for name, batches in measured_batches(ready).items():
            total, weight = 0.0, 0.0
            for plan in batches:
                batch = batches_of.whole(plan)
                batch = encoded(ready, batch) if batch.latents is None else batch
                for timestep in ready.run.validation.timesteps:
                    check()
                    losses = losses_of(ready, batch, ready.objective.noised_at(batch, timestep, seed))
                    total += float(losses.total)
                    weight += float(batch.shares.sum())
            curves[name] = total / weight
    return curves
