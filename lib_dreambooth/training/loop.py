"""The steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.feeding.feed import feed
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.training.encoding import caption_states
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.objective import Objective
from lib_dreambooth.training.setup import Prepared


@dataclass(frozen=True)
class Stepped:
    """What one step gave."""

    step: int
    loss: float


def train(
    prepared: Prepared, num_steps: int, check_cancelled: Callable[[], None] = lambda: None
) -> Iterator[Stepped]:
    """Takes `num_steps` steps; yields after each. `check_cancelled` raises to stop between two."""
    objective = Objective(prepared.run, prepared.model)
    states_of = partial(caption_states, prepared.model, style=prepared.style)
    optimizer = new_optimizer(prepared)
    parameters = [part.parameter for part in prepared.attached.parts()]
    batches = feed(prepared.dataset.plan, prepared.assembler.make, 0, num_steps)
    for step, micro_batches in enumerate(batches):
        check_cancelled()
        total = 0.0
        for batch in micro_batches:
            loss = micro_step(prepared.model, objective, batch, states_of).total
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not torch.isfinite(torch.tensor(total)):
            raise not_finite(step)
        if prepared.run.optimizer.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(parameters, prepared.run.optimizer.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield Stepped(step + 1, total)


def new_optimizer(prepared: Prepared) -> torch.optim.Optimizer:
    """AdamW with a rate for each part."""
    run = prepared.run
    rates = {UNET: run.parts.unet.rate or run.rates.learning_rate}
    groups = [
        {
            "params": [part.parameter],
            "lr": part.rate * rates.get(part.part, run.parts.text_encoder_1.rate or run.rates.learning_rate),
        }
        for part in prepared.attached.parts()
    ]
    return torch.optim.AdamW(groups, weight_decay=run.optimizer.weight_decay)


def not_finite(step: int) -> UserError:
    """The sentence for a loss that is no number any more."""
    return UserError(
        f"the loss is no number any more at step {step + 1}; nothing was changed by this step.",
        where="rates.learning_rate",
        todo="Lower the learning rate, and look at the pictures for damaged ones.",
        code="not-finite",
    )
