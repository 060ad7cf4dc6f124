"""The forecast of a run: bytes by phase and part, seconds, and what they rest on."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import torch

from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.base.showing import shown_bytes, shown_seconds
from lib_dreambooth.base.versions import first_two
from lib_dreambooth.forecast.machine import Speed
from lib_dreambooth.forecast.meter import OPTIMIZER, PARTS, WEIGHTS, Peak, TooMuch, Work
from lib_dreambooth.forecast.rehearsal import Manner, Passed, Rehearsal, Scene
from lib_dreambooth.forecast.remembered import FLOAT, moving_bytes, remembered_bytes
from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run

LOAD, CACHE, STEP, SAVE, PREVIEW = "load", "cache", "step", "save", "preview"
PHASES = (LOAD, CACHE, STEP, SAVE, PREVIEW)
Size = tuple[int, int]
# What a process comes to have beside tensors: modules, what reads pictures, kernels. At the end of reading a
# base it had 18 to 27 MB more than the base's numbers.
PROCESS = 25_000_000
# Arithmetic in half precision brings kernels of its own: 100 MB with a network of a tenth of the width, 120
# to 148 with larger ones, whatever the pictures' size. PyTorch 2.1 has none (12 MB).
KERNELS = 0 if first_two(torch.__version__) < (2, 2) else 120_000_000


@dataclass(frozen=True)
class Numbers:
    """What of the pictures and the settings counts: sizes as width and height, counts of the whole run."""

    size_wh: Size  # the largest bucket
    preview_wh: Size
    mean_share: float = 1.0  # of the largest bucket's cells, that pictures have on average
    num_items: int = 0
    num_captions: int = 0
    num_chunks: int = 0  # of the longest caption; 0: nobody knows
    num_steps: int | None = None
    num_drawn: int = 0  # previews of the whole run
    num_class_pictures: int = 0
    cached_bytes: int = 0  # that stay in system memory
    file_bytes: int = 0  # the base's weights as they lie in the file
    largest_file: int = 0  # of those that are written
    moves_in_lists: bool = False  # by PyTorch's own optimizer, which takes a copy of all weights for that
    moves_in_portions: bool = True  # of weights in half precision


@dataclass(frozen=True)
class PhaseNeed:
    """A phase's peak on the device by part, and what it takes of the computer's memory."""

    parts: Peak
    host: int
    seconds: float | None = None
    gaps: int = 0  # on a CPU: those of its heap, and what the process has beside tensors

    @property
    def total(self) -> int:
        return sum(self.parts)

    @property
    def bytes(self) -> int:
        """With the gaps."""
        return self.total + self.gaps


@dataclass(frozen=True)
class Forecast:
    """What a run needs. On a CPU the device's memory is the computer's, above what the imports take.

    `kind` says which memory is meant; `factor` is what earlier runs on this machine came out at.
    """

    kind: str
    phases: Mapping[str, PhaseNeed]
    manner: Manner
    seconds_per_step: float | None = None
    seconds: float | None = None
    factor: float = 1.0
    pace: float = 1.0
    rests_on: tuple[str, ...] = field(default=())

    @property
    def largest(self) -> str:
        """The phase that needs most."""
        return max(self.phases, key=lambda name: self.phases[name].bytes)

    @property
    def plain_bytes(self) -> int:
        """The peak on the device by the graph alone."""
        return self.phases[self.largest].bytes

    @property
    def plain_seconds_per_step(self) -> float | None:
        """By the graph and the machine's speed alone."""
        return None if self.seconds_per_step is None else self.seconds_per_step / self.pace

    @property
    def bytes(self) -> int:
        """The peak on the device."""
        return round(self.plain_bytes * self.factor)

    @property
    def step_bytes(self) -> int:
        """The peak of the steps, which can be taken more sparingly."""
        return round(self.phases[STEP].bytes * self.factor)

    @property
    def host_bytes(self) -> int:
        """The peak of the computer's memory beside a card, above what the imports take."""
        return max(phase.host for phase in self.phases.values())

    def text(self) -> str:
        """For people, in a line."""
        words = [f'about {shown_bytes(self.bytes)} in the phase "{self.largest}"']
        if self.kind != "cpu":
            words.append(f"{shown_bytes(self.host_bytes)} of system memory")
        return ", ".join(words)

    def time_text(self) -> str:
        """For people; empty where nothing is known."""
        return "" if self.seconds is None else f"about {shown_seconds(self.seconds)}"

    def to_json(self) -> dict[str, Any]:
        """For programs; bytes."""
        return {
            "memory": self.kind,
            "peak": self.bytes,
            "largest_phase": self.largest,
            "factor": round(self.factor, 3),
            "host": self.host_bytes,
            "seconds": self.seconds,
            "seconds_per_step": self.seconds_per_step,
            "checkpointing": self.manner.level,
            "fused_backward": self.manner.is_fused,
            "optimizer_state": "system" if self.manner.is_state_away else "card",
            "pieces": self.manner.pieces,
            "phases": {
                name: {
                    "parts": dict(zip(PARTS, need.parts, strict=True)),
                    "total": need.total,
                    "gaps": need.gaps,
                    "host": need.host,
                    "seconds": need.seconds,
                }
                for name, need in self.phases.items()
            },
            "rests_on": list(self.rests_on),
        }


def changes_captions(run: Run) -> bool:
    """Whether later epochs bring other captions than the first."""
    captions = run.captions
    return bool(captions.shuffle or captions.tag_dropout or captions.wildcards)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's collector for a moment: it takes a third of the time for nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Keeping(Protocol):
    """Where forecasts of a scene are found again."""

    def forecast(self, manner: Manner) -> Forecast | None: ...
    def keep(self, forecast: Forecast, manner: Manner) -> None: ...


class Forecaster:
    """Forecasts of one scene; what does not depend on how steps are taken is worked out once."""

    def __init__(
        self,
        scene: Scene,
        numbers: Numbers,
        speed: Speed | None = None,
        factor: float = 1.0,
        pace: float = 1.0,
        known: Keeping | None = None,
    ) -> None:
        self.scene = scene
        self.numbers = numbers
        self.speed = speed
        self.factor = factor
        self.pace = pace
        self.known = known
        self._steps: dict[tuple[Manner, int, Size], Passed] = {}
        self._beyond: dict[tuple[Manner, int, Size], float] = {}  # what steps take more than

    def within(self, manner: Manner, limit: int) -> Forecast | None:
        """The same as `of`, None where steps take more than `limit`: that is known before they are over."""
        try:
            with uncollected():
                return self.of(manner, (limit / self.factor) - self._own)
        except TooMuch:
            return None

    def at_least(self, manner: Manner) -> int:
        """What the forecast of the steps cannot be below."""
        return round((self.stands(manner) + self._own) * self.factor)

    def of(self, manner: Manner, limit: float = math.inf) -> Forecast:
        """The run's needs where its steps are taken so. Raises TooMuch where these take more than `limit`."""
        found = None if self.known is None else self.known.forecast(manner)
        if found is None:
            with uncollected():
                found = self._of(manner, limit)
            if self.known is not None:
                self.known.keep(found, manner)
        return found

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """Made when something has to be worked out."""
        with uncollected():
            return Rehearsal(self.scene)

    @cached_property
    def in_half(self) -> Forecaster | None:
        """Of the same with trained weights in half precision, where they are whole ones in float32."""
        numbers: Any = self.scene.numbers
        is_whole = not is_adapter(self.scene.run) and numbers.weights.itemsize == FLOAT
        if not is_whole or numbers.compute.itemsize == FLOAT:
            return None
        scene = replace(self.scene, numbers=replace(numbers, weights=numbers.compute))
        return Forecaster(scene, self.numbers, self.speed, self.factor, self.pace)

    def _of(self, manner: Manner, limit: float) -> Forecast:
        run = self.scene.run
        step = self.step(manner, limit=limit)
        per_step = self._seconds(step.work.times(self.numbers.mean_share * run.length.accumulation))
        phases = {
            LOAD: self._load(),
            CACHE: self._cache(manner),
            STEP: PhaseNeed(
                step.peak,
                self._host(manner) + step.in_system,
                self._of_steps(per_step),
                step.gaps + self._own,
            ),
            SAVE: self._save(manner),
        }
        if self.numbers.num_drawn or run.previews.at_end:
            phases[PREVIEW] = self._preview(manner)
        known = [phase.seconds for phase in phases.values()]
        seconds = None if None in known else sum(one for one in known if one is not None)
        rests = ["the graph of this model with its own sizes"]
        rests += ["the speed of this machine"] if self.speed is not None else []
        rests += ["how earlier runs here came out"] if self.factor != 1.0 else []
        return Forecast(
            self.scene.kind, phases, manner, per_step, seconds, self.factor, self.pace, tuple(rests)
        )

    def step(
        self,
        manner: Manner,
        batch: int | None = None,
        size_wh: Size | None = None,
        limit: float = math.inf,
    ) -> Passed:
        """One micro-batch; a batch of the settings at the largest bucket where nothing else is asked for.

        Raises TooMuch where it takes more than `limit`.
        """
        # What is at work outside the steps makes no difference to them.
        manner = replace(manner, is_alone=False)
        if manner.is_state_away:
            # The same steps: what the optimizer remembers stands beside them at their highest too.
            beside = replace(manner, is_state_away=False)
            there = self.step(beside, batch, size_wh, limit + self._away(manner))
            return replace(there, peak=_added(there.peak, OPTIMIZER, -self._away(manner)))
        key = (manner, batch or self.scene.run.length.batch_size, size_wh or self.numbers.size_wh)
        if key not in self._steps and (limit <= self._beyond.get(key, 0) or limit < self.stands(manner)):
            raise TooMuch
        if key not in self._steps:
            is_single = manner.is_fused or manner.is_in_system
            moving = moving_bytes(
                self.scene.run.optimizer.name,
                self._shapes,
                is_half=self.scene.numbers.weights.itemsize < FLOAT,
                kind=self.scene.kind,
                one_by_one=is_single,
                in_lists=self.numbers.moves_in_lists,
                in_portions=self.numbers.moves_in_portions,
            )
            try:
                self._steps[key] = self.rehearsal.step(
                    key[1], key[2], manner, self._remembered, self._averages, moving, limit
                )
            except TooMuch:
                self._beyond[key] = limit
                raise
        return self._steps[key]

    def bytes_of(self, step: Passed) -> int:
        """A step's peak with the gaps."""
        return step.total + step.gaps + self._own

    def stands(self, manner: Manner, trained: Sequence[Part] | None = None, kept: int | None = None) -> int:
        """Bytes that steps take at least: what is known of them without taking any.

        `trained` and `kept`, what the optimizer and averages keep, where they are others than the run's.
        """
        rehearsal = self.rehearsal
        manner = manner.on_cpu() if self.scene.kind == "cpu" else manner
        trained = rehearsal.parts if trained is None else trained
        found = rehearsal.bytes_beside(rehearsal.at_work(manner))
        found += self._remembered - self._away(manner) + self._averages if kept is None else kept
        found += bytes_in(trained) if is_adapter(self.scene.run) else 0
        if not manner.is_fused and not manner.is_in_system:
            # Where layers of a text encoder are passed over, those have none.
            found += bytes_in(one for one in trained if one.part == UNET)
        return found

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return [tuple(one.shape) for one in self.rehearsal.all_trained]

    @cached_property
    def _remembered(self) -> int:
        of = self.scene.run.optimizer
        return remembered_bytes(of.name, self._shapes, of.arguments)

    @cached_property
    def _remembered_of_one(self) -> int:
        """Of the weight of which most is remembered."""
        of = self.scene.run.optimizer
        return max((remembered_bytes(of.name, [one], of.arguments) for one in self._shapes), default=0)

    def _away(self, manner: Manner) -> int:
        """What the optimizer remembers beside what is on the card for the move of one weight."""
        if not manner.is_state_away or self.scene.kind == "cpu":
            return 0
        return self._remembered - self._remembered_of_one

    @property
    def _average_bytes(self) -> int:
        return FLOAT * self.rehearsal.num_trained if self.scene.run.ema.use else 0

    @property
    def _averages(self) -> int:
        """On the device."""
        is_here = self.scene.run.ema.place == "card" or self.scene.kind == "cpu"
        return self._average_bytes if is_here else 0

    def _load(self) -> PhaseNeed:
        """The UNet comes out of the file as it works, everything else as it waits.

        With files merged into it, it comes in the file's precision too, and is turned at its end. Nothing of
        it is on a card yet.
        """
        rehearsal = self.rehearsal
        most = rehearsal.bytes_waiting(rehearsal.model.modules)
        if self.scene.run.model.merge:
            most += rehearsal.bytes_of_parts([UNET])
        if self.scene.kind != "cpu":
            return PhaseNeed(_only(WEIGHTS, 0), most, 0.0)
        return PhaseNeed(_only(WEIGHTS, most), 0, 0.0, self._own)

    @property
    def _own(self) -> int:
        if self.scene.kind != "cpu":
            return 0
        numbers: Any = self.scene.numbers
        return PROCESS + (KERNELS if numbers.compute.itemsize < FLOAT else 0)

    def _cache(self, manner: Manner) -> PhaseNeed:
        """Pictures, then captions, before anything else is there; captions that change again later."""
        run, rehearsal = self.scene.run, self.rehearsal
        group = max(1, run.memory.vae_batch)
        kept = [] if manner.unloads else list(rehearsal.model.modules)
        found: list[tuple[Passed, float]] = []
        if run.memory.cache_latents != "off":
            pictures = rehearsal.encode(self.numbers.size_wh, run.memory.vae_batch, kept)
            found.append((pictures, self.numbers.num_items * self.numbers.mean_share / group))
        if not rehearsal.is_live:
            found.append((rehearsal.read_texts(kept), self.numbers.num_captions))
            if changes_captions(run):
                beside = [] if manner.is_alone else rehearsal.at_work(manner)
                found.append((rehearsal.read_texts(beside, self._between(manner)), 0.0))
        if not found:
            return PhaseNeed(_only(WEIGHTS, 0), self._all_parts, gaps=self._own)
        work = sum((passed.work.times(count) for passed, count in found), Work())
        most = max((passed for passed, _ in found), key=lambda one: one.total + one.gaps)
        host = self._all_parts if self.scene.kind != "cpu" else 0
        return PhaseNeed(
            most.peak, host + self.numbers.cached_bytes, self._seconds(work), most.gaps + self._own
        )

    @property
    def _all_parts(self) -> int:
        return self.rehearsal.bytes_waiting(self.rehearsal.model.modules)

    def _between(self, manner: Manner) -> int:
        """What the optimizer and averages hold between steps, the live weights beside averages too."""
        live = self.rehearsal.bytes_of_trained if self.scene.run.ema.use else 0
        return self._remembered - self._away(manner) + self._averages + live

    def _save(self, manner: Manner) -> PhaseNeed:
        """The device holds what it holds between steps, the live weights beside averages too."""
        rehearsal = self.rehearsal
        weights = rehearsal.bytes_of_parts(rehearsal.at_work(manner))
        weights += self._idle_bytes(manner) if self.scene.kind == "cpu" else 0
        own = rehearsal.bytes_of_trained if is_adapter(self.scene.run) else 0
        parts = _added(_only(WEIGHTS, weights + own), OPTIMIZER, self._between(manner))
        return PhaseNeed(parts, self._host(manner) + self.numbers.largest_file, 0.0, self._own)

    def _preview(self, manner: Manner) -> PhaseNeed:
        """Prompts, pictures, decoding: one after the other, all parts there or each alone."""
        run, size, rehearsal = self.scene.run, self.numbers.preview_wh, self.rehearsal
        batch, between = max(1, run.previews.batch_size), self._between(manner)
        whole = list(rehearsal.model.modules)
        drawn = rehearsal.draw(size, batch, between, [UNET] if manner.is_alone else whole)
        decoded = rehearsal.decode(size, between, [VAE] if manner.is_alone else whole)
        found = [drawn, decoded, rehearsal.read_texts([] if manner.is_alone else whole, between)]
        work = drawn.work.times(run.previews.steps / batch) + decoded.work
        count = self.numbers.num_drawn + self.numbers.num_class_pictures
        most = max(found, key=lambda one: one.total + one.gaps)
        host = self._host(manner) + (rehearsal.bytes_of_parts([UNET]) if manner.is_alone else 0)
        return PhaseNeed(most.peak, host, self._seconds(work.times(count)), most.gaps + self._own)

    def _host(self, manner: Manner) -> int:
        """What is kept in system memory between steps beside a card."""
        if self.scene.kind == "cpu":
            return 0
        averages = self._average_bytes - self._averages
        return self._idle_bytes(manner) + averages + self._away(manner) + self.numbers.cached_bytes

    def _idle_bytes(self, manner: Manner) -> int:
        """Parts that wait in the computer's memory while steps are taken."""
        at_work = self.rehearsal.at_work(manner)
        return self.rehearsal.bytes_waiting(
            [one for one in self.rehearsal.model.modules if one not in at_work]
        )

    def _seconds(self, work: Work) -> float | None:
        return None if self.speed is None else self.speed.seconds(work, self.scene.kind) * self.pace

    def _of_steps(self, per_step: float | None) -> float | None:
        if per_step is None or self.numbers.num_steps is None:
            return None
        return per_step * self.numbers.num_steps


def bytes_in(parts: Iterable[Part]) -> int:
    """What weights weigh, and their gradients as much again."""
    return sum(one.parameter.numel() * one.parameter.element_size() for one in parts)


def _only(part: int, num_bytes: int) -> Peak:
    return _added((0,) * len(PARTS), part, num_bytes)


def _added(peak: Peak, part: int, num_bytes: int) -> Peak:
    return tuple(one + (num_bytes if number == part else 0) for number, one in enumerate(peak))
