"""One step: the losses of its micro-batches, the gradients, the move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from lib_dreambooth.adapters.dropping import Piece
from lib_dreambooth.adapters.together import network_in
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.cache.latents import Moments
from lib_dreambooth.data.feeding.batch import Batch, draw_latents
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.training.encoding import latent_encoder
from lib_dreambooth.training.micro_step import StatesOf, micro_step
from lib_dreambooth.training.objective.noised import Losses, Noised
from lib_dreambooth.training.optimizers.before_move import BeforeMove
from lib_dreambooth.training.optimizers.fused import moving_in_backward
from lib_dreambooth.training.trainer.awaited import NOT_FINITE, Awaited, Stepped, not_finite
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.replaying import Replays
from lib_dreambooth.training.trainer.splitting import has_dropout, split, texts_of_piece, texts_of_rows

SEED_BITS = 62
# Of what is ready, and of what notes that nothing may move any more.
MakeReplays = Callable[[Ready, Tensor], Replays | None]
MOVE = "move"


class Stepper:
    """Takes the steps of a run."""

    def __init__(self, ready: Ready, note: Callable[[str], None], replays: MakeReplays | None = None) -> None:
        self.ready = ready
        self._note = note
        self._moving: dict[str, bool] = {}
        self._waits = not can_go_ahead(ready)
        # On the device: true from the first step on whose numbers were none.
        self._is_spoilt = torch.zeros((), dtype=torch.bool, device=ready.device)
        can_replay = not self._waits and ready.optimizer.can_leave_out
        self.replays = replays(ready, self._is_spoilt) if replays is not None and can_replay else None
        # A micro-batch is taken in so many, one after the other.
        self.pieces = ready.pieces
        # While true, an error may leave some weights moved and others not.
        self.is_moving = False
        self._has_moved = False

    def take(self, step: int, batches: Sequence[Batch]) -> Stepped | Awaited:
        """The step of this number, counted from 0. Raises, now or with its numbers, where a loss is none.

        What this step and those after it make of the weights is not to be kept then.
        """
        ready = self.ready
        ready.optimizer.set_rates(step)
        self._start_and_stop(step)
        stepped = self._moved(step, batches)
        if stepped.moved:
            ready.trained.limit_norms(ready.run.network.max_norm)
            if ready.averages is not None:
                ready.averages.update(step + 1)
        self.is_moving = False
        return stepped

    def _moved(self, step: int, batches: Sequence[Batch]) -> Stepped | Awaited:
        if self.ready.is_fused:
            return self._in_backward(step, batches)
        return self._after_backward(step, batches) if self._waits else self._ahead(step, batches)

    def _ahead(self, step: int, batches: Sequence[Batch]) -> Stepped | Awaited:
        """The same as `_after_backward` without waiting for the card."""
        is_plain = len(batches) == 1 and self.pieces == 1
        played = self.replays.step(batches[0]) if self.replays is not None and is_plain else None
        stepped = Awaited(step, *(self._taken_ahead(step, batches) if played is None else played))
        if self.ready.device.type != "cpu":
            return stepped
        # Where this raises nothing moved.
        self.is_moving = False
        found = stepped.get()
        self.is_moving = True
        return found

    def _taken_ahead(self, step: int, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """The loss and norm of a step that has been asked of the card."""
        ready, optimizer = self.ready, self.ready.optimizer
        own = [self._gradients(step, number, batch, 1.0) for number, batch in enumerate(batches)]
        loss = own[0] if len(own) == 1 else torch.stack(own).sum()
        norm = optimizer.clip()
        # Both at once: what is none stays none times 0.
        self._is_spoilt.logical_or_(((loss + norm.to(loss)) * 0.0).isnan())
        with self._first_move_taken_back(), own_chance(ready, step, MOVE):
            optimizer.step(leave_out=self._is_spoilt.float() if optimizer.can_leave_out else None)
        optimizer.zero_grad(ready.run.memory.set_to_none)
        return loss, norm

    def _after_backward(self, step: int, batches: Sequence[Batch]) -> Stepped:
        """Moves all weights when the gradients of the whole step are there."""
        ready, optimizer = self.ready, self.ready.optimizer
        scale = 1.0 if ready.scale is None else ready.scale.value
        own = [self._gradients(step, number, batch, scale) for number, batch in enumerate(batches)]
        loss = ready.process.total(sum(map(float, own)))
        if not math.isfinite(loss):
            optimizer.zero_grad()
            raise not_finite(step, "loss")
        ready.process.sum_gradients([part.parameter for part in ready.parts])
        norm = float(optimizer.clip(scale))
        if not math.isfinite(norm):
            optimizer.zero_grad()
            self._overflowed(step)
            return Stepped(step, loss, norm, moved=False)
        with self._first_move_taken_back(), own_chance(ready, step, MOVE):
            optimizer.step()
        if ready.scale is not None:
            ready.scale.update(is_finite=True)
        optimizer.zero_grad(ready.run.memory.set_to_none)
        return Stepped(step, loss, norm)

    @contextmanager
    def _first_move_taken_back(self) -> Iterator[None]:
        """Weights move inside. Where memory ends before the first of them has, nothing is left of that.

        What an optimizer remembers gets its memory with the first move: later ones take little more.
        """
        before = None if self._has_moved else BeforeMove(self.ready.optimizer)
        self.is_moving = True
        try:
            yield
        except Exception:
            if before is not None:
                self.is_moving = not before.restore()
            raise
        self._has_moved = True

    def _in_backward(self, step: int, batches: Sequence[Batch]) -> Stepped:
        """Moves each weight as soon as its gradient is known."""
        ready = self.ready
        [batch] = batches
        with own_chance(ready, step, 0):
            losses = self._losses(batch)
            loss = float(losses.total.detach())
            if not math.isfinite(loss):
                raise not_finite(step, "loss")
            self.is_moving = True
            with moving_in_backward(ready.optimizer, seed_of(ready, step, MOVE)) as norms:
                if losses.total.requires_grad:
                    losses.total.backward()  # type: ignore[no-untyped-call]
        norm = float(norms.whole(ready.optimizer))
        if not math.isfinite(norm):
            raise spoilt(step)
        return Stepped(step, loss, norm)

    def _gradients(self, step: int, number: int, batch: Batch, scale: float) -> Tensor:
        """Adds the gradients of a micro-batch; gives its part of the loss."""
        ready = self.ready
        if batch.plan.is_idle and not ready.process.is_alone:
            # It only keeps this process in time with the others, and they wait for its gradients alone.
            return torch.zeros(())
        place = ready.process.place_of(number)
        with own_chance(ready, step, place):
            found = []
            for losses in self._losses_of_pieces(step, place, batch):
                if losses.total.requires_grad:
                    (losses.total * scale).backward()
                found.append(losses.total.detach())
        return found[0] if len(found) == 1 else torch.stack(found).sum()

    def _losses_of_pieces(self, step: int, place: int, batch: Batch) -> Iterator[Losses]:
        """One after the other: the gradient of one is taken before the next."""
        ready = self.ready
        if self.pieces == 1:
            yield self._losses(batch)
            return
        batch, noised = self._noised(batch)
        network = network_in(ready.trained) if has_dropout(ready.run) else None
        for rows, piece, own in split(batch, noised, self.pieces):
            if network is None:
                texts: StatesOf = partial(texts_of_piece, ready.texts, whole=batch.captions)
                yield losses_of(ready, piece, own, texts)
                continue
            # Each piece finds the draws that the whole batch would have found, and takes its rows of them.
            texts = partial(texts_of_rows, ready.texts, whole=batch.captions, rows=rows)
            with own_chance(ready, step, place), network.in_piece(Piece(rows, len(batch.captions))):
                yield losses_of(ready, piece, own, texts)

    def _losses(self, batch: Batch) -> Losses:
        return losses_of(self.ready, *self._noised(batch))

    def _noised(self, batch: Batch) -> tuple[Batch, Noised]:
        """The batch with its latents, and with its noise."""
        ready = self.ready
        if batch.latents is None:
            batch = encoded(ready, batch)
        return batch, with_answers(ready, batch, ready.objective.noised(batch))

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


def can_go_ahead(ready: Ready) -> bool:
    """Whether steps need not wait for their numbers.

    A loss scale has to know them. On a card they come later, and whoever keeps anything of the weights reads
    them before; where there is nothing to wait for, they are read at once, if the optimizer has left out what
    must not be moved.
    """
    optimizer = ready.optimizer
    is_plain = ready.process.is_alone and ready.scale is None and not ready.is_fused
    return is_plain and optimizer.system is None and (ready.device.type == "cuda" or optimizer.can_leave_out)


def with_answers(ready: Ready, batch: Batch, noised: Noised) -> Noised:
    """The batch with what the untouched model answers, where anything of it learns from that."""
    if ready.base_answers is None:
        return noised
    visits = batch.plan.visits
    rows = ready.objective.prior.asked(visits, noised.masks)
    if not rows:
        return noised
    return ready.objective.with_base(noised, visits, ready.base_answers(batch, noised, rows), rows)


def losses_of(
    ready: Ready, batch: Batch, noised: Noised | None = None, texts: StatesOf | None = None
) -> Losses:
    """The losses of a batch that has its latents, at its own draws or at the noise that is given."""
    return micro_step(
        ready.model,
        ready.objective,
        batch,
        texts or ready.texts,
        autocast_dtype=ready.autocast_dtype,
        noised=noised,
    )


@contextmanager
def own_chance(ready: Ready, step: int, place: int | str) -> Iterator[None]:
    """Draws inside libraries follow from seed, step and place, and leave the host's generators alone."""
    seed = seed_of(ready, step, place)
    devices = [ready.device] if ready.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        # Not torch's own for all devices: each time it notes for every kind that is not there who asked.
        torch.default_generator.manual_seed(seed)
        if ready.device.type == "cuda":
            with torch.cuda.device(ready.device):
                torch.cuda.manual_seed(seed)
        elif ready.device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def seed_of(ready: Ready, step: int, place: int | str) -> int:
    """What decides the draws of a place in a step: a micro-batch of all processes, or the move."""
    return Draw(ready.run.draws.seed, "library", step, place).integer(1 << SEED_BITS)


def encoded(ready: Ready, batch: Batch) -> Batch:
    """A batch of pixels with the latents drawn for its visits."""
    assert batch.pixels is not None
    # One by one: an encoder's last digits depend on how many go through it at once.
    # Where latents were kept and are gone, the encoder is not here.
    with ready.places.at_work([VAE]):
        found = [latent_encoder(ready.model)(pixels[None]) for pixels in batch.pixels]
    moments = [Moments(mean[0], std[0]) for mean, std in found]
    seed = ready.run.draws.seed
    latents = draw_latents(moments, batch.plan.visits, seed, ready.assembler.fresh)
    return replace(batch, latents=latents, pixels=None)


def spoilt(step: int) -> UserError:
    """The sentence where weights have moved by gradients that are none."""
    return UserError(
        f"a gradient was no number any more at step {step + 1}, and weights had moved by then.",
        where="memory.fused_backward",
        todo="Go on from the last state with a lower learning rate, or with the fused backward pass off.",
        code=NOT_FINITE,
    )
