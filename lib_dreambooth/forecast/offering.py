"""Changes of what is learned with which a run would fit, each with what it needs and what it costs.

What an optimizer keeps, gradients and parts that leave the card are worked out from the weights' sizes: what
activations shrink by as well is not counted, so that an offer needs at most what it says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.adapters.planning import LOW_RANK_KINDS
from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.forecast.fitting import usable
from lib_dreambooth.forecast.forecast import PREVIEW, SAVE, STEP, Forecast, Forecaster, bytes_in
from lib_dreambooth.forecast.meter import ADAPTERS, GRADIENTS, OPTIMIZER, WEIGHTS, Peak, TooMuch
from lib_dreambooth.forecast.rehearsal import Manner, smaller
from lib_dreambooth.forecast.remembered import EIGHT_BIT, FLOAT, is_worth_leaving, remembered_bytes
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run

RESOLUTIONS = (1024, 896, 768, 640, 512, 448, 384, 320, 256)
RANKS = (64, 32, 16, 8, 4)
# How far beyond the room a guess may be that is still worked out.
NEARLY = 1.02
ATTENTION = ("attn1", "attn2", "self_attn")
ATTENTION_BLOCKS = ("*.attn1.*", "*.attn2.*")
# Optimizers that move each weight on its own with the same result.
APART = ("adamw", "adafactor", "came", "lion")
PAGED = "paged"
TOGETHER = "several changes together, since none of them suffices alone"
SPARING = "as much as has to be is computed twice or leaves the card: the same result, slower"
Changes = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Offer:
    """Another run that would fit: which settings it takes, what it needs, and what it costs.

    `seconds` are the whole run's, None where nobody knows.
    """

    changes: Changes
    bytes: int
    about: str
    seconds: float | None = None

    def text(self) -> str:
        """The settings, for people."""
        shown = ((name, " ".join(v) if isinstance(v, tuple) else v) for name, v in self.changes)
        return ", ".join(f"{name} = {value}" for name, value in shown)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "changes": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.changes
            },
            "peak": self.bytes,
            "about": self.about,
            "seconds": self.seconds,
        }


def standing(peak: Peak) -> int:
    """What of a step's memory there is for any batch."""
    return sum(peak[part] for part in (WEIGHTS, ADAPTERS, GRADIENTS, OPTIMIZER))


def offers(
    forecaster: Forecaster, room: int, *, is_state_away: bool = False, host_room: int | None = None
) -> list[Offer]:
    """What would fit, what changes least first; several changes together where no single one suffices.

    `is_state_away`: what the optimizer remembers is in system memory already, for which there is `host_room`.
    """
    most, opened = usable(room), in_the_way(forecaster.scene.run)
    table = Table(forecaster, most, is_state_away=is_state_away, host_room=host_room)
    if opened and table.may_do(table.least) and table.plain.bytes <= most:
        return [Offer(opened, table.plain.bytes, SPARING, table.plain.seconds)]
    found = [offer for offer in table.singles() if offer.bytes <= most]
    if not found:
        # Each takes its time: no more of them than are wanted.
        found = list(itertools.islice((offer for offer in table.together() if offer.bytes <= most), 1))
    return [replace(offer, changes=(*opened, *offer.changes)) for offer in found]


def in_the_way(run: Run) -> Changes:
    """Settings that forbid to take the same steps more sparingly, with what leaves that open."""
    memory = run.memory
    found: list[tuple[str, object]] = []
    if memory.checkpointing in ("off", "some"):
        found.append(("memory.checkpointing", "auto"))
    if memory.unload == "off":
        found.append(("memory.unload", "auto"))
    if 0 < memory.pieces < run.length.batch_size:
        found.append(("memory.pieces", 0))
    return tuple(found)


@dataclass(frozen=True)
class Saved:
    """Bytes less: in the steps, and between them, while previews are drawn and files written.

    `leaving` is what of the model is not there any more in the steps, and while files are written.
    """

    in_steps: int = 0
    between: int = 0
    leaving: int = 0

    def __add__(self, other: Saved) -> Saved:
        leaving = self.leaving + other.leaving
        return Saved(self.in_steps + other.in_steps, self.between + other.between, leaving)

    def of(self, phase: str) -> int:
        """What a phase takes less."""
        less = {STEP: self.in_steps, SAVE: self.between, PREVIEW: self.between}.get(phase, 0)
        return less + (self.leaving if phase in (STEP, SAVE) else 0)


@dataclass(frozen=True)
class Weights:
    """What is trained, the name of what moves it, and whether what that remembers is on the card."""

    parts: tuple[Part, ...]
    optimizer: str
    has_state: bool = True

    def kept(self, *, has_average: bool) -> int:
        """Bytes of what the optimizer keeps on the card, and of averages."""
        count = sum(one.parameter.numel() for one in self.parts)
        shapes = [tuple(one.parameter.shape) for one in self.parts] if self.has_state else []
        return remembered_bytes(self.optimizer, shapes) + (FLOAT * count if has_average else 0)


@dataclass(frozen=True)
class Change:
    """Changed settings, which weights stay trained, another optimizer's name, and what it costs.

    `leaving`: bytes of the model that are not on the card any more in the steps.
    """

    changes: Changes
    about: str
    keep: Callable[[Part], bool] = lambda part: True
    optimizer: str = ""
    leaving: int = 0


class Table:
    """The changes that a run could make, with what each saves; steps are taken as sparingly as can be."""

    def __init__(
        self,
        forecaster: Forecaster,
        room: int,
        *,
        is_state_away: bool = False,
        host_room: int | None = None,
    ) -> None:
        self.forecaster = forecaster
        self.room = room
        self.host_room = host_room
        self.run = run = forecaster.scene.run
        level = "on" if run.memory.checkpointing == "on" else "offload"
        pieces = run.length.batch_size
        self.least = Manner(level, is_alone=True, pieces=pieces, is_state_away=is_state_away)
        parts = tuple(forecaster.rehearsal.parts)
        self.weights = Weights(parts, run.optimizer.name, has_state=not is_state_away)

    @cached_property
    def plain(self) -> Forecast:
        """The run as it is, its steps taken so."""
        return self.forecaster.of(self.least)

    def singles(self) -> Iterator[Offer]:
        """Each change alone."""
        yield from self._of_gradients()
        yield from self._of_state()
        for change in self._of_weights():
            saved, kept = self._saved(self.weights, change, has_gradients=True)
            if self._stands(kept, self.least, saved) <= self.room:
                yield Offer(change.changes, needed(self.plain, saved), change.about, self.plain.seconds)
        yield from self._of_ranks()
        # Smaller batches and pictures make nothing of this smaller.
        if self.may_do(self.least) and standing(self.forecaster.step(self.least).peak) <= self.room:
            yield from self._of_pictures(self.plain, Saved())

    def together(self) -> Iterator[Offer]:
        """The changes of weights one more each time, then smaller pictures beside all of them."""
        changes: dict[str, object] = {}
        run, weights, saved = self.run, self.weights, Saved()
        manner = self.least
        if self._can_fuse:
            # Then no gradients wait for each other; clipping needs all of them.
            changes = {"memory.fused_backward": "on", "optimizer.max_grad_norm": 0.0}
            changes |= {"length.accumulation": 1} if run.length.accumulation > 1 else {}
            manner = replace(self.least, is_fused=True, pieces=1)
        others = self._in_half()
        for change in self._of_weights():
            if others is not None and change.keep is is_attention_or_text:
                # Rather all of the weights in half precision.
                yield from others.in_half()
            own, weights = self._saved(weights, change, has_gradients=not manner.is_fused)
            saved += own
            changes |= dict(change.changes)
            if self._stands(weights, manner, saved) <= self.room:
                plain = self.forecaster.of(manner)
                yield Offer(tuple(changes.items()), needed(plain, saved), TOGETHER, plain.seconds)
        if self._stands(weights, manner, saved) > self.room:
            return
        plain = self.forecaster.of(manner)
        if standing(self.forecaster.step(manner).peak) - saved.of(STEP) > self.room:
            return
        for offer in self._of_pictures(plain, saved):
            yield Offer((*changes.items(), *offer.changes), offer.bytes, TOGETHER, offer.seconds)

    def may_do(self, manner: Manner) -> bool:
        """Whether steps taken so could fit, as far as that is known without taking any."""
        return self.forecaster.at_least(manner) <= self.room

    def _stands(self, weights: Weights, manner: Manner, saved: Saved) -> int:
        """Bytes that steps take at least: what is known of them without taking any."""
        kept = weights.kept(has_average=self._has_average)
        found = self.forecaster.stands(manner, weights.parts, kept) - saved.leaving
        return round(found * self.forecaster.factor)

    def in_half(self) -> Iterator[Offer]:
        """What `together` has, with trained weights in half precision."""
        about = "trained weights in half precision: small steps count by chance"
        half: Changes = (("precision.weights", "half"),)
        if self._stands(self.weights, self.least, Saved()) <= self.room:
            yield Offer(half, self.plain.bytes, about, self.plain.seconds)
        for offer in self.together():
            yield replace(offer, changes=(*half, *offer.changes))

    def _in_half(self) -> Table | None:
        """The same with trained weights in half precision, where they are whole ones in float32."""
        changed = self.forecaster.in_half
        if changed is None:
            return None
        away = self.least.is_state_away
        return Table(changed, self.room, is_state_away=away, host_room=self.host_room)

    def _saved(self, weights: Weights, change: Change, *, has_gradients: bool) -> tuple[Saved, Weights]:
        """What a change saves beside others, and what is trained then."""
        parts = tuple(one for one in weights.parts if change.keep(one))
        kept = replace(weights, parts=parts, optimizer=change.optimizer or weights.optimizer)
        less = weights.kept(has_average=self._has_average) - kept.kept(has_average=self._has_average)
        gone = bytes_in(weights.parts) - bytes_in(kept.parts)
        between = less + (gone if is_adapter(self.run) else 0)
        return Saved(between + (gone if has_gradients else 0), between, change.leaving), kept

    @property
    def _can_fuse(self) -> bool:
        """Whether weights could move in the backward pass, where nothing else stood against it."""
        run, numbers = self.run, self.forecaster.scene.numbers
        is_open = run.memory.fused_backward != "off" and run.memory.gradients != "system"
        can_move = moves_apart(run.optimizer.name.lower().removeprefix(PAGED))
        return is_open and not is_adapter(run) and can_move and numbers.compute != torch.float16

    @property
    def _has_average(self) -> bool:
        return self.run.ema.use and self.run.ema.place == "card"

    def _of_gradients(self) -> Iterator[Offer]:
        run, of = self.run, self.forecaster.of
        if run.length.accumulation <= 1 or is_adapter(run):
            return
        in_system = replace(self.least, is_in_system=True)
        if run.memory.gradients == "card" and self.may_do(in_system):
            waiting = of(in_system)
            about = "gradients wait in system memory: the same result, slower"
            yield Offer((("memory.gradients", "system"),), waiting.bytes, about, waiting.seconds)
        fused = replace(self.least, is_fused=True, pieces=1)
        if not self._can_fuse or not self.may_do(fused):
            return
        alone = of(fused)
        about = "no accumulation, weights move in the backward pass: a smaller batch at a time"
        changes: Changes = (("length.accumulation", 1), ("memory.fused_backward", "on"))
        if run.optimizer.max_grad_norm:
            changes = (*changes, ("optimizer.max_grad_norm", 0.0))
        yield Offer(changes, alone.bytes, about, alone.seconds)

    def _of_state(self) -> Iterator[Offer]:
        optimizer = self.run.optimizer
        can_leave = moves_apart(optimizer.name) and is_worth_leaving(optimizer.name, optimizer.arguments)
        if self.least.is_state_away or not can_leave or self.forecaster.scene.kind == "cpu":
            return
        away = replace(self.least, is_state_away=True)
        if not self.may_do(away):
            return
        waiting = self.forecaster.of(away)
        if self.host_room is None or waiting.host_bytes <= self.host_room:
            about = "what the optimizer remembers waits in system memory: the same result, slower"
            yield Offer((("memory.optimizer_state", "system"),), waiting.bytes, about, waiting.seconds)

    def _of_weights(self) -> Iterator[Change]:
        """Less of the weights, or what is kept of them in fewer bits."""
        run, name = self.run, self.run.optimizer.name
        is_large = EIGHT_BIT not in name.lower() and not self.least.is_state_away
        if is_large and name.lower() in ("adamw", "lion"):
            small = f"{name}8bit"
            average = self._has_average
            less = self.weights.kept(has_average=average)
            less -= replace(self.weights, optimizer=small).kept(has_average=average)
            about = f"the optimizer remembers in 8 bits, {shown_bytes(less)} less; results differ a little"
            yield Change((("optimizer.name", small),), about, optimizer=small)
        encoders = {one.part for one in self.weights.parts} - {UNET}
        if encoders and run.parts.unet.train and not run.parts.words.train:
            changes = [("parts.text_encoder_1.train", False)] if run.parts.text_encoder_1.train else []
            changes += [("parts.text_encoder_2.train", False)] if run.parts.text_encoder_2.train else []
            about = "text encoders stay as they are: new words are learned less well"
            yield Change(tuple(changes), about, is_of_unet, leaving=self._of_encoders)
        about = "attention alone is trained: less is learned of shapes and textures"
        if is_adapter(run):
            if run.network.targets == "all":
                yield Change((("network.targets", "attention"),), about, is_attention)
        elif not run.parts.unet.blocks and run.parts.unet.train:
            yield Change((("parts.unet.blocks", ATTENTION_BLOCKS),), about, is_attention_or_text)

    @property
    def _of_encoders(self) -> int:
        """Bytes of the text encoders, where none of them is needed in the steps once none is trained.

        One that is not trained itself is there as long as another is.
        """
        if self.run.memory.cache_text == "off":
            return 0
        rehearsal = self.forecaster.rehearsal
        return rehearsal.bytes_of_parts([one.part for one in rehearsal.model.encoders])

    def _of_ranks(self) -> Iterator[Offer]:
        """The largest rank that fits, as loud as before."""
        network = self.run.network
        if not is_adapter(self.run) or network.kind not in LOW_RANK_KINDS:
            return
        own = bytes_in(self.weights.parts)
        kept = self.weights.kept(has_average=self._has_average)
        for rank in [rank for rank in RANKS if rank < network.rank]:
            share = 1 - rank / network.rank
            less = Saved(round(share * (2 * own + kept)), round(share * (own + kept)))
            found = needed(self.plain, less)
            if found <= self.room:
                alpha = (network.alpha or network.rank) * rank / network.rank
                changes = (("network.rank", rank), ("network.alpha", alpha))
                yield Offer(changes, found, "a network of lower rank holds less", self.plain.seconds)
                return

    def _of_pictures(self, plain: Forecast, saved: Saved) -> Iterator[Offer]:
        """A smaller batch where it cannot be taken in pieces, and smaller pictures; beside what is saved."""
        run, forecaster, manner, seconds = self.run, self.forecaster, plain.manner, plain.seconds
        if run.length.batch_size > 1 and manner.pieces < run.length.batch_size:
            step = forecaster.step(replace(manner, pieces=1), batch=1)
            about = (
                "one picture at a time and more batches before each move: the same number, in other groups"
            )
            count = 1 if manner.is_fused else run.length.batch_size * run.length.accumulation
            changes: Changes = (("length.batch_size", 1), ("length.accumulation", count))
            yield Offer(changes, needed(plain, saved, forecaster.bytes_of(step)), about, seconds)
        width, height = forecaster.numbers.size_wh
        whole = forecaster.step(manner)
        of_pictures = whole.total - standing(whole.peak)
        for side in RESOLUTIONS:
            share = side / (width * height) ** 0.5
            # Nearly all else grows with the pixels: what is far too much need not be tried.
            guessed = whole.total - round((1 - share * share) * of_pictures) - saved.of(STEP)
            if share >= 1 or guessed * plain.factor > self.room * NEARLY:
                continue
            most = self.room / plain.factor + saved.of(STEP)
            try:
                step = forecaster.step(manner, size_wh=smaller((width, height), side), limit=most)
            except TooMuch:
                continue
            found = needed(plain, saved, forecaster.bytes_of(step))
            if found <= self.room:
                about = "smaller pictures: finer detail is not learned"
                less = None if seconds is None else seconds * share * share
                yield Offer((("pictures.resolution", str(side)),), found, about, less)
                return


def needed(plain: Forecast, saved: Saved, step_bytes: int | None = None) -> int:
    """The peak of a run where so much is saved, with steps of so many bytes or its own."""
    totals = {name: need.bytes for name, need in plain.phases.items()}
    if step_bytes is not None:
        totals[STEP] = step_bytes
    return round(max(total - saved.of(name) for name, total in totals.items()) * plain.factor)


def moves_apart(optimizer: str) -> bool:
    """Whether it is one of those, in 8 bits too; the driver looks after what paged ones remember."""
    return optimizer.lower().removesuffix(EIGHT_BIT) in APART


def is_of_unet(part: Part) -> bool:
    """What stays trained where text encoders do not."""
    return part.part == UNET


def is_attention(part: Part) -> bool:
    """Whether it is of a layer of attention: a network's names have underscores for points."""
    return any(name in part.name for name in ATTENTION)


def is_attention_or_text(part: Part) -> bool:
    """What stays trained where the blocks of the UNet are those of attention."""
    return part.part != UNET or is_attention(part)
