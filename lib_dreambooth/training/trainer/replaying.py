"""Steps of one micro-batch played from a recording, one for each shape of batches.

The first steps of a shape are taken as always, so that everything has found its place. Then one is recorded
and compared with the loss that the same batch has without it. Whatever fails ends all recording, and costs
nothing but speed. None was ever made on a card yet: what is tested is that nothing enters a step but by its
places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.encode import TextStates
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.noised import Noised
from lib_dreambooth.training.optimizers.places import tensors_in
from lib_dreambooth.training.speed.graphs import CudaGraph, Graph, Places, addresses, shapes_of
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.splitting import has_dropout
from lib_dreambooth.training.trainer.texts import CachedTexts

# Steps of a shape before it is recorded.
WARM_STEPS = 3
# How far, of itself, the recorded loss may be from the one that was computed as always.
CLOSE = 1e-3
STATES, POOLED, SIZES, SHARES = "states", "pooled", "sizes", "shares"


@dataclass(eq=False)
class Recording:
    """A recorded step, its places, and where everything else lay."""

    graph: Graph
    places: Places
    rates: list[Tensor]
    loss: Tensor
    norm: Tensor
    where: tuple[int, ...]


class Replays:
    """The recordings of a run.

    `is_spoilt` is where steps note, on the device, that nothing may move any more; `tell` is given why no
    steps are played.
    """

    def __init__(
        self,
        ready: Ready,
        is_spoilt: Tensor,
        make: Callable[[], Graph],
        tell: Callable[[str], None],
        warm_steps: int = WARM_STEPS,
    ) -> None:
        self.ready = ready
        self.num_played = 0
        self._is_spoilt = is_spoilt
        self._make = make
        self._tell = tell
        self._warm_steps = warm_steps
        self._seen: Counter[Any] = Counter()
        self._found: dict[Any, Recording] = {}
        self._is_off = False

    def drop(self) -> None:
        """Forgets all recordings, and gives their memory back."""
        self._found.clear()
        self._seen.clear()

    def step(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """The loss and norm of a step that was played; None where it has to be taken as always."""
        if self._is_off or batch.latents is None:
            return None
        noised = self.ready.objective.noised(batch)
        values = values_of(noised, self.ready.texts(batch.captions), batch)
        optimizer = self.ready.optimizer
        moving = [str(mover.key) for mover in optimizer.moving()]
        key = (shapes_of(values), tuple(moving))
        found = self._found.get(key)
        if found is not None and found.where != addresses(self._standing()):
            self.drop()
            found = None
        if found is None:
            self._seen[key] += 1
            if self._seen[key] <= self._warm_steps:
                return None
            found = self._recorded(batch, values)
            if found is None:
                return None
            self._found[key] = found
        else:
            self._play(found, values)
        self.num_played += 1
        # The next one is played into the same places.
        return found.loss.clone(), found.norm.clone()

    def _play(self, found: Recording, values: dict[str, Tensor]) -> None:
        found.places.fill(values)
        for rate, mover in zip(found.rates, self.ready.optimizer.movers, strict=True):
            rate.fill_(mover.made.param_groups[0]["lr"])
        found.graph.play()

    def _standing(self) -> Iterator[Tensor]:
        """All tensors that a step reads or changes besides its places."""
        yield from self.ready.model.unet.parameters()
        yield from (part.parameter for part in self.ready.parts)
        for mover in self.ready.optimizer.movers:
            yield from tensors_in(mover.made.state)

    def _recorded(self, batch: Batch, values: dict[str, Tensor]) -> Recording | None:
        """A recording that was played once for this batch and gave its loss; None where there is none."""
        ready, device = self.ready, self.ready.device
        places = Places(values, device)
        rates = [torch.zeros((), device=device) for _ in ready.optimizer.movers]
        numbers = [torch.zeros((), device=device) for _ in range(2)]
        found = Recording(self._make(), places, rates, numbers[0], numbers[1], ())
        places.fill(values)
        asked = from_values(places.tensors, batch)
        before = self._kept()
        try:
            wanted = float(self._loss(*asked).detach())
            found.graph.record(lambda: self._take(found, *asked))
            self._play(found, values)
            found.where = addresses(self._standing())
            given = float(found.loss)
        except RuntimeError as error:
            # Each operator that cannot be recorded says so in its own way.
            self._give_up(before, " ".join(str(error).split()[:20]))
            return None
        if not abs(given - wanted) <= CLOSE * abs(wanted):
            self._give_up(before, f"the recorded step gave a loss of {given:.6g} in place of {wanted:.6g}")
            return None
        return found

    def _take(self, found: Recording, *asked: Any) -> None:
        """The step itself; what it gives goes into places too."""
        optimizer = self.ready.optimizer
        loss = self._loss(*asked)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = optimizer.clip()
        found.loss.copy_(loss.detach())
        found.norm.copy_(norm)
        self._is_spoilt.logical_or_(((found.loss + found.norm) * 0.0).isnan())
        with self._rates_in(found.rates):
            optimizer.step(leave_out=self._is_spoilt.float())
        optimizer.zero_grad()

    def _loss(self, noised: Noised, states: TextStates, batch: Batch) -> Tensor:
        ready = self.ready
        return micro_step(
            ready.model, ready.objective, batch, states, autocast_dtype=ready.autocast_dtype, noised=noised
        ).total

    @contextmanager
    def _rates_in(self, rates: list[Tensor]) -> Iterator[None]:
        """The optimizer reads its rates from the device while inside: a number would be recorded as it is."""
        groups = [mover.made.param_groups[0] for mover in self.ready.optimizer.movers]
        usual = [group["lr"] for group in groups]
        try:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            yield
        finally:
            for group, rate in zip(groups, usual, strict=True):
                group["lr"] = rate

    def _kept(self) -> list[tuple[Tensor, Tensor]]:
        """What a step changes, with its values."""
        moved = [part.parameter.data for part in self.ready.parts]
        for mover in self.ready.optimizer.movers:
            moved += list({id(one): one for one in tensors_in(mover.made.state)}.values())
        return [(one, one.clone()) for one in [*moved, self._is_spoilt]]

    def _give_up(self, before: list[tuple[Tensor, Tensor]], why: str) -> None:
        self._is_off = True
        self.drop()
        self.ready.optimizer.zero_grad()
        for place, values in before:
            place.copy_(values)
        self._tell(why)


def replays_of(ready: Ready, is_spoilt: Tensor, tell: Callable[[str], None]) -> Replays | None:
    """The recordings of a run whose settings want them; `tell` is given what stands against it."""
    if ready.run.memory.cuda_graphs != "on" or ready.device.type != "cuda":
        return None
    if not can_replay(ready):
        tell("that is for networks beside the UNet without dropout or accumulation, with kept captions")
        return None
    return Replays(ready, is_spoilt, CudaGraph, tell)


def can_replay(ready: Ready) -> bool:
    """Whether steps that wait for no number are such that a recording can stand for them."""
    is_simple = ready.run.length.accumulation == 1 and ready.base_answers is None
    is_simple = is_simple and not has_dropout(ready.run)
    is_fixed = is_adapter(ready.run) and isinstance(ready.texts, CachedTexts)
    return is_simple and is_fixed and ready.trained.trained_roots() <= {UNET}


def values_of(noised: Noised, states: TextStates, batch: Batch) -> dict[str, Tensor]:
    """All that is different from one step to the next, by name."""
    found = {
        field.name: value for field in fields(noised) if (value := getattr(noised, field.name)) is not None
    }
    found |= {f"{STATES}{number}": one for number, one in enumerate(states.states)}
    if states.pooled is not None:
        found[POOLED] = states.pooled
    return found | {SIZES: batch.size_ids, SHARES: batch.shares}


def from_values(values: dict[str, Tensor], batch: Batch) -> tuple[Noised, TextStates, Batch]:
    """The way back, with nothing of the batch but what lies in places."""
    noised = Noised(**{field.name: values.get(field.name) for field in fields(Noised)})  # type: ignore[arg-type]
    states = tuple(values[name] for name in sorted(values) if name.startswith(STATES))
    only = replace(
        batch, captions=(), latents=None, masks=None, size_ids=values[SIZES], shares=values[SHARES]
    )
    return noised, TextStates(states, values.get(POOLED)), only
