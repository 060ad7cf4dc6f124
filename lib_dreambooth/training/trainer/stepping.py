"""One step: the losses of its micro-batches, the gradients, the move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.cache.latents import Moments
from lib_dreambooth.data.feeding.batch import Batch, draw_latents
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.training.encoding import latent_encoder
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.noised import Losses, Noised
from lib_dreambooth.training.trainer.ready import Ready

SEED_BITS = 62
NOT_FINITE = "not-finite"


@dataclass(frozen=True)
class Stepped:
    """What a step gave. `moved` is false where its gradients overflowed and nothing was changed."""

    step: int
    loss: float
    grad_norm: float
    moved: bool = True


class Stepper:
    """Takes the steps of a run."""

    def __init__(self, ready: Ready, note: Callable[[str], None]) -> None:
        self.ready = ready
        self._note = note
        self._moving: dict[str, bool] = {}
        # While true, an error may leave some weights moved and others not.
        self.is_moving = False

    def take(self, step: int, batches: Sequence[Batch]) -> Stepped:
        """The step of this number, counted from 0. Raises before anything moves where a loss is none."""
        ready = self.ready
        optimizer = ready.optimizer
        optimizer.set_rates(step)
        self._start_and_stop(step)
        scale = 1.0 if ready.scale is None else ready.scale.value
        loss = sum(self._gradients(step, number, batch, scale) for number, batch in enumerate(batches))
        if not torch.isfinite(torch.tensor(loss)):
            optimizer.zero_grad()
            raise not_finite(step, "loss")
        norm = float(optimizer.clip(scale))
        if not torch.isfinite(torch.tensor(norm)):
            optimizer.zero_grad()
            self._overflowed(step)
            return Stepped(step, loss, norm, moved=False)
        self.is_moving = True
        with own_chance(ready, step, len(batches)):
            optimizer.step()
        if ready.scale is not None:
            ready.scale.update(is_finite=True)
        optimizer.zero_grad(ready.run.memory.set_to_none)
        if ready.run.network.max_norm > 0:
            ready.trained.limit_norms(ready.run.network.max_norm)
        if ready.averages is not None:
            ready.averages.update(step + 1)
        self.is_moving = False
        return Stepped(step, loss, norm)

    def _gradients(self, step: int, number: int, batch: Batch, scale: float) -> float:
        """Adds the gradients of a micro-batch; gives its part of the loss."""
        ready = self.ready
        if batch.latents is None:
            batch = encoded(ready, batch)
        with own_chance(ready, step, number):
            losses = losses_of(ready, batch)
            if losses.total.requires_grad:
                (losses.total * scale).backward()
        return float(losses.total.detach())

    def _overflowed(self, step: int) -> None:
        """Too large for the precision: smaller next time, as long as there is something smaller."""
        scale = self.ready.scale
        if scale is None or scale.is_exhausted:
            raise not_finite(step, "gradient")
        scale.update(is_finite=False)

    def _start_and_stop(self, step: int) -> None:
        """Lets parts move or rest as their time comes."""
        for part, rate in self.ready.optimizer.rates.parts.items():
            moves = rate.is_active(step)
            if self._moving.get(part) == moves:
                continue
            self._moving[part] = moves
            if moves:
                self.ready.trained.start(part)
            else:
                self.ready.trained.stop(part)
                if rate.has_stopped(step):
                    self._note(part)


def losses_of(ready: Ready, batch: Batch, noised: Noised | None = None) -> Losses:
    """The losses of a batch that has its latents, at its own draws or at the noise that is given."""
    return micro_step(
        ready.model, ready.objective, batch, ready.texts, autocast_dtype=ready.autocast_dtype, noised=noised
    )


@contextmanager
def own_chance(ready: Ready, step: int, number: int) -> Iterator[None]:
    """Draws inside libraries follow from seed, step and place, and leave the host's generators alone."""
    seed = Draw(ready.run.draws.seed, "library", step, number).integer(1 << SEED_BITS)
    devices = [ready.device] if ready.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def encoded(ready: Ready, batch: Batch) -> Batch:
    """A batch of pixels with the latents drawn for its visits."""
    assert batch.pixels is not None
    # One by one: an encoder's last digits depend on how many go through it at once.
    found = [latent_encoder(ready.model)(pixels[None]) for pixels in batch.pixels]
    moments = [Moments(mean[0], std[0]) for mean, std in found]
    seed = ready.run.draws.seed
    latents = draw_latents(moments, batch.plan.visits, seed, ready.assembler.fresh)
    return replace(batch, latents=latents, pixels=None)


def not_finite(step: int, what: str) -> UserError:
    """The sentence for numbers that are none any more."""
    return UserError(
        f"the {what} is no number any more at step {step + 1}; nothing was changed by this step.",
        where="rates.learning_rate",
        todo="Lower the learning rate, choose bf16 in place of fp16, and look for damaged pictures.",
        code=NOT_FINITE,
    )
